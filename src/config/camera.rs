//! The `[[camera]]` tables, and the calibration profiles that they name.

use std::path::PathBuf;
use std::time::Duration;

use super::calibration::Calibration;
use super::hotlist::credential;
use super::raw::{RawCamera, RawConfig};
use super::resolve::{CameraSettings, Checker, SourceSettings};
use crate::camera::credentials::CredentialsFile;
use crate::camera::live::{DeviceFormat, Input};
use crate::camera::pipeline::{Backend, Decoder, Transport};
use crate::camera::raw::RawFormat;
use crate::camera::rtsp::{Codec, RtspUrl};
use crate::camera::{AtEnd, Pace, Patience};
use crate::ident::CameraId;
use crate::publish::wire::Site;

/// Name of the systemd credential that holds a camera's user and password, but for the camera's id at its end.
pub const CAMERA_CREDENTIAL: &str = "kerbside-camera-";

/// Checks and resolves one camera.
pub(super) fn resolve(c: &mut Checker<'_>, nas: Site, index: usize, raw: &RawCamera) -> Option<CameraSettings> {
    let key = |name: &str| format!("camera[{index}].{name}");
    c.id(&key("id"), &raw.id);
    let source = source(c, &key, raw);
    let patience = Patience {
        open: Duration::from_millis(c.integer(&key("open_timeout_ms"), raw.open_timeout_ms, 1_000, 60_000)),
        stall: Duration::from_millis(c.integer(&key("stall_after_ms"), raw.stall_after_ms, 500, 60_000)),
    };
    let pace = c.choice(&key("pace"), &raw.pace, &[("real_time", Pace::RealTime), ("lossless", Pace::Lossless)]);
    let at_end = c.choice(&key("at_end"), &raw.at_end, &[("stop", AtEnd::Stop), ("repeat", AtEnd::Repeat)]);
    let buffers = c.integer(&key("buffers"), raw.buffers, 6, 256);
    let calibration = (!raw.calibration.is_empty()).then(|| calibration(c, &key("calibration"), &raw.calibration)).flatten();
    let (region, mask) = calibration.map_or((None, None), |profile| (Some(profile.region), profile.mask));
    let mut site = Site { camera_id: number(c, &key("nas_camera_id"), raw.nas_camera_id), ..nas };
    let (latitude, longitude) = (raw.latitude_deg, raw.longitude_deg);
    c.number(&key("latitude_deg"), latitude, -90.0, 90.0);
    c.number(&key("longitude_deg"), longitude, -180.0, 180.0);
    // No road runs through the place where both are 0.
    site.position = Some((latitude, longitude)).filter(|place| *place != (0.0, 0.0));
    let is_live = matches!(source, SourceSettings::Live(_));
    if is_live && pace == Pace::Lossless {
        c.fault(key("pace"), "a live camera can't be made to wait; \"lossless\" is for clips and stills");
    }
    if mask.is_some() && matches!(source, SourceSettings::Live(Input::Rtsp { backend: Backend::Ffmpeg, .. })) {
        c.fault(
            key("backend"),
            "\"ffmpeg\" does not hear of it when a camera changes its resolution while it streams, and masks would lie elsewhere: take \"gstreamer\", or a calibration without masks_px",
        );
    }
    Some(CameraSettings { id: CameraId::new(&raw.id)?, source, patience, pace, at_end, buffers, region, mask, site })
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Clip,
    Stills,
    Rtsp,
    Device,
    Http,
}

/// Where frames come from. Keys that the kind has no use for must be left out: whoever wrote them meant something by them.
fn source(c: &mut Checker<'_>, key: &impl Fn(&str) -> String, raw: &RawCamera) -> SourceSettings {
    let kinds =
        [("clip", Kind::Clip), ("stills", Kind::Stills), ("rtsp", Kind::Rtsp), ("v4l2", Kind::Device), ("http", Kind::Http)];
    let kind = c.choice(&key("kind"), &raw.kind, &kinds);
    if !kinds.iter().any(|(name, _)| *name == raw.kind) {
        // Which of the other keys it wants is not known; a path that is given is looked for in any case.
        let path = if raw.path.is_empty() { PathBuf::new() } else { c.existing(&key("path"), &raw.path) };
        return SourceSettings::Clip(path);
    }
    let on_network = matches!(kind, Kind::Rtsp | Kind::Http);
    for (name, value) in [("url", &raw.url), ("credentials", &raw.credentials)] {
        if !on_network && !value.is_empty() {
            c.fault(key(name), "is for cameras on the network (kind \"rtsp\" or \"http\"); leave it out");
        }
    }
    // Invariant: the two keys without a default are given, so it can be read; a test reads it.
    let plain = RawCamera::plain().expect("a camera with its needed keys");
    let live = [Kind::Rtsp, Kind::Device, Kind::Http];
    let files = [Kind::Clip, Kind::Stills];
    for (name, is_default, of) in [
        ("transport", raw.transport == plain.transport, &[Kind::Rtsp][..]),
        ("codec", raw.codec == plain.codec, &[Kind::Rtsp]),
        ("backend", raw.backend == plain.backend, &[Kind::Rtsp]),
        ("decoder", raw.decoder == plain.decoder, &[Kind::Rtsp]),
        ("format", raw.format == plain.format, &[Kind::Device]),
        ("width_px", raw.width_px == plain.width_px, &[Kind::Device]),
        ("height_px", raw.height_px == plain.height_px, &[Kind::Device]),
        ("frames_per_s", raw.frames_per_s == plain.frames_per_s, &[Kind::Device]),
        ("open_timeout_ms", raw.open_timeout_ms == plain.open_timeout_ms, &live),
        ("stall_after_ms", raw.stall_after_ms == plain.stall_after_ms, &live),
        ("at_end", raw.at_end == plain.at_end, &files),
        ("interval_ms", raw.interval_ms == plain.interval_ms, &[Kind::Stills]),
    ] {
        if !is_default && !of.contains(&kind) {
            c.fault(key(name), format!("has no meaning for kind = {:?}; leave it out", raw.kind));
        }
    }
    if on_network && !raw.path.is_empty() {
        c.fault(key("path"), "is for clips, stills and devices; a camera on the network has a url");
    }
    let interval = Duration::from_millis(c.integer(&key("interval_ms"), raw.interval_ms, 1, 3_600_000));
    let transport = c.choice(&key("transport"), &raw.transport, &[("tcp", Transport::Tcp), ("udp", Transport::Udp)]);
    let backend = c.choice(&key("backend"), &raw.backend, &[("gstreamer", Backend::GStreamer), ("ffmpeg", Backend::Ffmpeg)]);
    let decoder = c.choice(
        &key("decoder"),
        &raw.decoder,
        &[("software", Decoder::Software), ("vaapi", Decoder::Vaapi), ("v4l2m2m", Decoder::V4l2M2m)],
    );
    let codecs = [("auto", None), ("h264", Some(Codec::H264)), ("h265", Some(Codec::H265)), ("mjpeg", Some(Codec::Mjpeg))];
    let codec = c.choice(&key("codec"), &raw.codec, &codecs);
    if kind == Kind::Rtsp && backend == Backend::Ffmpeg {
        if transport == Transport::Udp {
            c.fault(key("transport"), "\"udp\" needs backend = \"gstreamer\"; FFmpeg is told to take TCP for all cameras");
        }
        if decoder == Decoder::V4l2M2m {
            c.fault(key("decoder"), "\"v4l2m2m\" needs backend = \"gstreamer\"");
        }
    }
    let formats = [("mjpeg", RawFormat::Mjpeg), ("yuyv", RawFormat::Yuyv), ("nv12", RawFormat::Nv12)];
    let format = DeviceFormat {
        format: c.choice(&key("format"), &raw.format, &formats),
        width_px: c.integer(&key("width_px"), raw.width_px, 0, 16_384),
        height_px: c.integer(&key("height_px"), raw.height_px, 0, 16_384),
        frames_per_s: c.integer(&key("frames_per_s"), raw.frames_per_s, 0, 240),
    };
    match kind {
        Kind::Clip => SourceSettings::Clip(c.existing(&key("path"), &raw.path)),
        Kind::Stills => SourceSettings::Stills(c.existing(&key("path"), &raw.path), interval),
        // A device may be plugged in later.
        Kind::Device if raw.path.is_empty() => {
            c.fault(key("path"), "is needed: the device, such as /dev/video0");
            SourceSettings::Clip(PathBuf::new())
        }
        Kind::Device => SourceSettings::Live(Input::Device { path: PathBuf::from(&raw.path), format }),
        Kind::Rtsp => match RtspUrl::parse(&raw.url) {
            Ok(_) if has_password(&raw.url) => {
                c.fault(key("url"), PASSWORD_IN_URL);
                SourceSettings::Clip(PathBuf::new())
            }
            Ok(url) => {
                let credentials = credentials(c, key, raw);
                SourceSettings::Live(Input::Rtsp { url, transport, codec, backend, decoder, credentials })
            }
            // The address is not repeated: it may have a password in it.
            Err(why) => {
                c.fault(key("url"), why);
                SourceSettings::Clip(PathBuf::new())
            }
        },
        Kind::Http => {
            let rest = raw.url.strip_prefix("http://").unwrap_or_default();
            if rest.is_empty() || rest.split('/').next().is_some_and(|host| host.contains('@')) {
                c.fault(
                    key("url"),
                    "is no address of pictures over HTTP without a user in it; it looks like http://host:80/path",
                );
            }
            if has_password(&raw.url) {
                c.fault(key("url"), PASSWORD_IN_URL);
            }
            SourceSettings::Live(Input::Http { url: raw.url.clone(), credentials: credentials(c, key, raw) })
        }
    }
}

const PASSWORD_IN_URL: &str =
    "has a password in it; write {user} and {password} in its place, which are filled in from the credentials file";

/// Whether an address has a password spelled out in its path or query, as some cameras want it.
fn has_password(url: &str) -> bool {
    let url = url.to_lowercase();
    let names = ["password=", "passwd=", "pass=", "pwd="];
    names.iter().any(|name| url.match_indices(name).any(|(at, _)| !url[at + name.len()..].starts_with("{password}")))
}

/// Where user and password are: the file that is named, else the service manager's credential if there is one.
fn credentials(c: &mut Checker<'_>, key: &impl Fn(&str) -> String, raw: &RawCamera) -> Option<CredentialsFile> {
    if raw.credentials.is_empty() {
        let path = credential(&format!("{CAMERA_CREDENTIAL}{}", raw.id));
        return path.exists().then_some(CredentialsFile { path, check_mode: false });
    }
    // Whoever put the password itself here must not find it in a journal.
    if raw.credentials.contains(':') {
        c.fault(
            key("credentials"),
            "looks like a user and a password; put them into a file, one line user:password, and name that",
        );
        return None;
    }
    let file = CredentialsFile { path: c.existing(&key("credentials"), &raw.credentials), check_mode: true };
    if file.path.exists()
        && let Err(e) = file.load()
    {
        c.fault(key("credentials"), e.to_string());
    }
    Some(file)
}

/// The `[nas]` table: what all cameras of the box have in common.
pub(super) fn nas(c: &mut Checker<'_>, raw: &RawConfig) -> Site {
    Site {
        feed_id: number(c, "nas.feed_id", raw.nas.feed_id),
        source_id: number(c, "nas.source_id", raw.nas.source_id),
        ..Site::default()
    }
}

/// A number that is none where it is 0.
fn number(c: &mut Checker<'_>, key: &str, value: i64) -> Option<u32> {
    Some(c.integer(key, value, 0, i64::from(u32::MAX))).filter(|n| *n > 0)
}

/// Reads a calibration profile; what is wrong with it is told under the key that names it.
fn calibration(c: &mut Checker<'_>, key: &str, value: &str) -> Option<Calibration> {
    let path = c.existing(key, value);
    if !path.exists() {
        return None;
    }
    Calibration::load(&path).map_err(|faults| faults.into_iter().for_each(|what| c.fault(key, what))).ok()
}
