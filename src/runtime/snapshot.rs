//! Where a command asks for a still, and the reader that has the camera's frames leaves one. Nothing waits here: the reader looks at one
//! atomic a frame while nobody asks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::MonoTime;
use crate::frame::Frame;
use crate::geometry::{FramePx, Quad};
use crate::ident::CameraId;

/// A frame in which nothing moved has not been looked at: it will do after so long only.
const STILL_WILL_DO_AFTER: Duration = Duration::from_secs(1);

/// A frame, copied out of its pool, and the plates that were found in it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The frame.
    pub frame: Frame,
    /// Where plates are.
    pub plates: Vec<Quad<FramePx>>,
}

#[derive(Debug)]
enum Request {
    Asked(MonoTime),
    Here(Snapshot),
}

/// Requests by camera.
#[derive(Debug, Default)]
pub struct Snapshots {
    asked: AtomicUsize,
    requests: Mutex<BTreeMap<CameraId, Request>>,
}

impl Snapshots {
    /// Asks for the next frame of a camera.
    pub fn ask(&self, camera: &CameraId, now: MonoTime) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.insert(camera.clone(), Request::Asked(now));
        self.asked.store(requests.len(), Ordering::Relaxed);
    }

    /// The reader's side: leaves the frame if somebody asked for it.
    pub fn offer(&self, frame: &Frame, was_still: bool, now: MonoTime, plates: impl FnOnce() -> Vec<Quad<FramePx>>) {
        if self.asked.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(request @ Request::Asked(_)) = requests.get_mut(frame.camera())
            && let Request::Asked(since) = *request
            && (!was_still || now.since(since) > STILL_WILL_DO_AFTER)
        {
            let plates = if was_still { Vec::new() } else { plates() };
            *request = Request::Here(Snapshot { frame: frame.detached(), plates });
        }
    }

    /// Takes what was left for a camera.
    pub fn take(&self, camera: &CameraId) -> Option<Snapshot> {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(requests.get(camera), Some(Request::Here(_))) {
            return None;
        }
        let taken = requests.remove(camera);
        self.asked.store(requests.len(), Ordering::Relaxed);
        taken.and_then(|request| if let Request::Here(snapshot) = request { Some(snapshot) } else { None })
    }

    /// Nobody waits for it any more.
    pub fn forget(&self, camera: &CameraId) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.remove(camera);
        self.asked.store(requests.len(), Ordering::Relaxed);
    }
}
