//! Live cameras: RTSP, V4L2 devices, pictures over HTTP. Each is decoded on a thread of its own that can be left behind.
//!
//! OpenCV can't be called back from another thread: whoever waits for a camera waits until its driver or its network lets go.
//! So the decoder lives on a `grab-<camera>` thread and puts its frames into a *tray*; [`LiveSource`] waits for the tray
//! alone, never longer than a fraction of a second. When it wants to be rid of the decoder it says so, waits a moment for the
//! thread to end, and else leaves it behind: counted, its frames refused. Too many left behind, and it opens no more until
//! one has come back: a driver that swallows threads would otherwise eat the box.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::credentials::{Credentials, CredentialsFile};
pub use super::opencv::DeviceFormat;
use super::opencv::Feed;
use super::pipeline::{self, Backend, Decoder, Transport};
use super::rtsp::{self, Codec, RtspUrl};
use super::{CameraError, CaptureStats, Grab, Grabbed, Patience, Source, When};
use crate::clock::Clock;
use crate::frame::FramePool;
use crate::ident::CameraId;

/// Which camera, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A network camera.
    Rtsp {
        /// Its stream.
        url: RtspUrl,
        /// How packets travel.
        transport: Transport,
        /// What it is coded in; none: the camera is asked.
        codec: Option<Codec>,
        /// Which of OpenCV's ways.
        backend: Backend,
        /// What decodes.
        decoder: Decoder,
        /// User and password, where it wants them.
        credentials: Option<CredentialsFile>,
    },
    /// A V4L2 device, `/dev/video0`.
    Device {
        /// The device.
        path: PathBuf,
        /// What it is asked for.
        format: DeviceFormat,
    },
    /// JPEG pictures one after another over HTTP.
    Http {
        /// Its address.
        url: String,
        /// User and password, where it wants them.
        credentials: Option<CredentialsFile>,
    },
}

/// Frames that wait for the capture thread, which is quick: more than a few mean that it has no CPU.
const TRAY: usize = 4;
/// Longest wait of one `grab`.
const WAIT: Duration = Duration::from_millis(100);
/// Time that a decoder gets to end.
const LEAVE: Duration = Duration::from_millis(800);
/// Decoders that may be left behind at the same time.
const MOST_LEFT: usize = 4;

/// Between the decoder's thread and the capture thread.
#[derive(Debug, Default)]
struct Tray {
    inside: Mutex<Inside>,
    changed: Condvar,
    /// Nobody wants frames any more.
    over: AtomicBool,
}

#[derive(Debug, Default)]
struct Inside {
    /// What was settled with the camera, once it is open.
    opened: Option<String>,
    frames: VecDeque<Grabbed>,
    /// How it ended.
    fault: Option<CameraError>,
    ended: bool,
    /// Frames that found the tray full, or no buffer.
    lost: u64,
}

impl Tray {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        // Every change is a single push or assignment, so a poisoned lock guards a sound state.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, with: impl FnOnce(&mut Inside)) {
        with(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits until `ready`, so long at most.
    fn wait(&self, limit: Duration, ready: impl Fn(&Inside) -> bool) -> MutexGuard<'_, Inside> {
        let guard = self.changed.wait_timeout_while(self.lock(), limit, |inside| !ready(inside));
        guard.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// A live camera as a source.
#[derive(Debug)]
pub struct LiveSource {
    camera: CameraId,
    input: Input,
    patience: Patience,
    pool: FramePool,
    clock: Arc<dyn Clock>,
    stats: Arc<CaptureStats>,
    stop: Arc<AtomicBool>,
    /// Set when a decoder other than the processor failed: the processor does it from then on.
    in_software: Arc<AtomicBool>,
    /// Decoders' threads that are alive: this one's, and those left behind.
    alive: Arc<AtomicUsize>,
    running: Option<(Arc<Tray>, JoinHandle<()>)>,
    about: Option<String>,
}

impl LiveSource {
    /// A camera that is opened later; its frames come in buffers of `pool`. `stop` cuts waiting short.
    pub fn new(
        camera: CameraId,
        input: Input,
        patience: Patience,
        pool: FramePool,
        clock: Arc<dyn Clock>,
        stats: Arc<CaptureStats>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        Self {
            camera,
            input,
            patience,
            pool,
            clock,
            stats,
            stop,
            in_software: Arc::default(),
            alive: Arc::default(),
            running: None,
            about: None,
        }
    }

    fn open_within(&self, tray: &Tray) -> Result<String, CameraError> {
        let until = Instant::now() + self.patience.open;
        loop {
            let mut inside = tray.wait(WAIT, |inside| inside.opened.is_some() || inside.ended);
            if let Some(about) = inside.opened.take() {
                return Ok(about);
            }
            if inside.ended {
                return Err(inside.fault.take().unwrap_or_else(|| CameraError::Lost("the camera ended before it began".into())));
            }
            if self.stop.load(Ordering::Relaxed) {
                return Err(CameraError::Lost("the daemon stops".into()));
            }
            if Instant::now() >= until {
                return Err(CameraError::Lost(format!("it can't be opened within {} s", self.patience.open.as_secs_f64())));
            }
        }
    }
}

impl Source for LiveSource {
    fn open(&mut self) -> Result<(), CameraError> {
        self.close();
        if self.alive.load(Ordering::Relaxed) >= MOST_LEFT {
            return Err(CameraError::Lost(format!(
                "{MOST_LEFT} attempts to open it have not come back: the camera answers without end, or its driver hangs; it is opened again when one of them has, or by a restart of the daemon"
            )));
        }
        let tray = Arc::new(Tray::default());
        let worker = Worker {
            camera: self.camera.clone(),
            input: self.input.clone(),
            patience: self.patience,
            pool: self.pool.clone(),
            clock: Arc::clone(&self.clock),
            tray: Arc::clone(&tray),
            in_software: Arc::clone(&self.in_software),
        };
        let alive = Arc::clone(&self.alive);
        alive.fetch_add(1, Ordering::Relaxed);
        let work = move || {
            let tray = Arc::clone(&worker.tray);
            let result = worker.run();
            drop(worker);
            tray.change(|inside| {
                inside.fault = result.err();
                inside.ended = true;
            });
            alive.fetch_sub(1, Ordering::Relaxed);
        };
        let spawned = std::thread::Builder::new().name(format!("grab-{}", self.camera)).spawn(work);
        let thread = spawned.map_err(|e| {
            self.alive.fetch_sub(1, Ordering::Relaxed);
            CameraError::Lost(format!("no thread to be had: {e}"))
        })?;
        self.running = Some((Arc::clone(&tray), thread));
        self.about = Some(self.open_within(&tray)?);
        Ok(())
    }

    fn grab(&mut self, _: &FramePool) -> Result<Grab, CameraError> {
        let Some((tray, _)) = &self.running else { return Ok(Grab::End) };
        let mut inside = tray.wait(WAIT, |inside| !inside.frames.is_empty() || inside.ended);
        let lost = std::mem::take(&mut inside.lost);
        self.stats.no_buffer.fetch_add(lost, Ordering::Relaxed);
        match inside.frames.pop_front() {
            Some(grabbed) => Ok(Grab::Frame(grabbed)),
            None if inside.ended => {
                Err(inside.fault.take().unwrap_or_else(|| CameraError::Lost("the camera ended the stream".into())))
            }
            None => Ok(Grab::NotYet),
        }
    }

    fn close(&mut self) {
        let Some((tray, thread)) = self.running.take() else { return };
        tray.over.store(true, Ordering::Release);
        tray.change(|inside| inside.frames.clear());
        let until = Instant::now() + LEAVE;
        while !thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        if !thread.is_finished() {
            self.stats.abandoned.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(camera = %self.camera, "the decoder does not come back and is left behind");
        } else if thread.join().is_err() {
            tracing::error!(camera = %self.camera, "the decoder's thread panicked");
        }
    }

    fn frames(&self) -> Option<u64> {
        None
    }

    fn period(&self) -> Duration {
        Duration::from_millis(40)
    }

    fn about(&self) -> Option<String> {
        self.about.clone()
    }
}

impl Drop for LiveSource {
    fn drop(&mut self) {
        self.close();
    }
}

/// What the `grab-<camera>` thread works with.
struct Worker {
    camera: CameraId,
    input: Input,
    patience: Patience,
    pool: FramePool,
    clock: Arc<dyn Clock>,
    tray: Arc<Tray>,
    in_software: Arc<AtomicBool>,
}

impl Worker {
    fn run(&self) -> Result<(), CameraError> {
        let (mut feed, about, in_hardware) = self.open()?;
        self.tray.change(|inside| inside.opened = Some(about));
        let (opened, mut any) = (Instant::now(), false);
        while !self.tray.over.load(Ordering::Acquire) {
            // A decoder that the box does not have may take packets and give nothing.
            if in_hardware && !any && opened.elapsed() > self.patience.open / 2 {
                self.fall_back("gives no frames");
                return Ok(());
            }
            if !feed.wait() {
                if in_hardware && !any {
                    self.fall_back("fails");
                }
                return Ok(());
            }
            let at = self.clock.now();
            match feed.take(&self.pool) {
                Ok(None) => {}
                Ok(Some(lease)) => {
                    any = true;
                    let grabbed = Grabbed { lease, when: When::Arrived { at, stream: feed.stream_time() } };
                    self.tray.change(|inside| {
                        if inside.frames.len() < TRAY {
                            inside.frames.push_back(grabbed);
                        } else {
                            inside.lost += 1;
                        }
                    });
                }
                Err(CameraError::NoBuffer) => self.tray.change(|inside| inside.lost += 1),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Opens the camera; says in a few words how, and whether something other than the processor decodes.
    fn open(&self) -> Result<(Feed, String, bool), CameraError> {
        let load = |file: &Option<CredentialsFile>| file.as_ref().map(CredentialsFile::load).transpose();
        match &self.input {
            Input::Rtsp { url, transport, codec, backend, decoder, credentials } => {
                let credentials = load(credentials)?;
                let url = &url.filled(credentials.as_ref());
                // Asked even where the codec is known: it says in words what the decoder would keep to itself.
                // It gets a part of the time only, or whoever waits for the opening would give up before the words are there.
                let offered = rtsp::describe(url, credentials.as_ref(), self.patience.open * 3 / 4)?;
                if let Some(codec) = codec.filter(|codec| *codec != offered) {
                    return Err(CameraError::Lost(format!(
                        "the camera offers {}, its configuration says {}: set codec = \"auto\", or the camera to another",
                        offered.as_str(),
                        codec.as_str()
                    )));
                }
                self.rtsp(url, *transport, offered, *backend, *decoder, credentials.as_ref())
            }
            Input::Device { path, format } => {
                if let Err(e) = std::fs::metadata(path) {
                    return Err(CameraError::Lost(format!("the device {}: {e}", path.display())));
                }
                Ok((Feed::device(path, *format)?, format!("{:?}, V4L2", format.format), false))
            }
            Input::Http { url, credentials } => {
                let credentials = load(credentials)?;
                let description = pipeline::http(&rtsp::filled(url, credentials.as_ref()), credentials.as_ref());
                Ok((Feed::pipeline(&description, true)?, "MJPEG over HTTP, GStreamer".into(), false))
            }
        }
    }

    fn rtsp(
        &self,
        url: &RtspUrl,
        transport: Transport,
        codec: Codec,
        backend: Backend,
        decoder: Decoder,
        credentials: Option<&Credentials>,
    ) -> Result<(Feed, String, bool), CameraError> {
        let wanted = if codec == Codec::Mjpeg { Decoder::Software } else { decoder };
        let in_hardware = wanted != Decoder::Software && !self.in_software.load(Ordering::Relaxed);
        let decoder = if in_hardware { wanted } else { Decoder::Software };
        let said = if in_hardware { format!(", {decoder:?}") } else { String::new() };
        let over = if transport == Transport::Tcp { "TCP" } else { "UDP" };
        let feed = match backend {
            Backend::GStreamer => {
                let description = pipeline::rtsp(url, credentials, transport, codec, decoder);
                // JPEG's luma has the whole range; what video means by it is taken to be 16 to 235.
                Feed::pipeline(&description, codec == Codec::Mjpeg)
            }
            // It falls back to the processor by itself.
            Backend::Ffmpeg => {
                Feed::ffmpeg(&pipeline::ffmpeg(url, credentials), self.patience.open, self.patience.stall * 2, in_hardware)
            }
        };
        match feed {
            Ok(feed) => Ok((feed, format!("{} over {over}, {backend:?}{said}", codec.as_str()), in_hardware)),
            Err(e) if in_hardware => {
                self.fall_back(&e.to_string());
                self.rtsp(url, transport, codec, backend, Decoder::Software, credentials)
            }
            Err(e) => Err(e),
        }
    }

    /// From now on the processor decodes.
    fn fall_back(&self, why: &str) {
        tracing::warn!(camera = %self.camera, "decoding in hardware: {why}; the processor does it from now on, until the next start");
        self.in_software.store(true, Ordering::Relaxed);
    }
}
