//! What OpenCV is told to open: GStreamer pipelines, and names for FFmpeg. Pure text.
//!
//! A pipeline ends in I420, as the decoder has it: no colour is converted for frames that nobody looks at. OpenCV 4.6 waits in
//! GStreamer's sink for ever when a camera falls silent, so each pipeline has a *heartbeat* besides: a tiny picture twice a second
//! goes into the same sink and wakes the reader up. It stands first in the description, so that the sink has a timeline
//! before OpenCV asks for its position.

use std::time::Duration;

use super::credentials::Credentials;
use super::rtsp::{Codec, RtspUrl};

/// Which of OpenCV's ways to video is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// GStreamer: planes straight from the decoder, one thread a stream.
    GStreamer,
    /// FFmpeg: everything is converted to BGR.
    Ffmpeg,
}

/// How RTP packets travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Inside the RTSP connection: none is lost.
    Tcp,
    /// Each by itself: lost packets tear pictures.
    Udp,
}

/// What decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoder {
    /// The processor.
    Software,
    /// A graphics unit through VA-API. Untested: no machine with one was at hand.
    Vaapi,
    /// A decoder of the kernel's V4L2 memory-to-memory kind. Untested likewise.
    V4l2M2m,
}

/// Width and height of the heartbeat: no camera is as small.
pub const HEARTBEAT_PX: usize = 16;

/// Length of a frame's wait for packets that come out of order, UDP only.
const REORDER: Duration = Duration::from_millis(100);
/// The last of any pipeline. The sink keeps a few frames for a moment in which the reader has no CPU.
const SINK: &str = "videotestsrc is-live=true pattern=black ! video/x-raw,format=I420,width=16,height=16,framerate=2/1 \
    ! funnel name=all ! video/x-raw,format=I420 ! appsink sync=false max-buffers=8 ";
/// From any raw format to the sink; nothing is done where it is I420 already.
const INTO_SINK: &str = "! videoconvert n-threads=1 ! video/x-raw,format=I420 ! all.";

/// A value in a description: in quotes, what would end them escaped.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A pipeline for an RTSP stream. It holds the password: never show it.
pub fn rtsp(url: &RtspUrl, credentials: Option<&Credentials>, transport: Transport, codec: Codec, decoder: Decoder) -> String {
    let (protocol, latency) = match transport {
        Transport::Tcp => ("tcp", Duration::ZERO),
        Transport::Udp => ("udp", REORDER),
    };
    // With buffer-mode=none the frames' times are the camera's own, so that drift can be seen.
    let source = format!(
        "rtspsrc location={} protocols={protocol} latency={} buffer-mode=none timeout=5000000 tcp-timeout=5000000{}",
        quoted(url.as_str()),
        latency.as_millis(),
        login(credentials)
    );
    let (unpack, decode) = match (codec, decoder) {
        (Codec::H264, Decoder::Software) => ("rtph264depay", "avdec_h264 max-threads=1"),
        (Codec::H265, Decoder::Software) => ("rtph265depay", "avdec_h265 max-threads=1"),
        (Codec::H264, Decoder::Vaapi) => ("rtph264depay", "h264parse ! vah264dec"),
        (Codec::H265, Decoder::Vaapi) => ("rtph265depay", "h265parse ! vah265dec"),
        (Codec::H264, Decoder::V4l2M2m) => ("rtph264depay", "h264parse ! v4l2h264dec"),
        (Codec::H265, Decoder::V4l2M2m) => ("rtph265depay", "h265parse ! v4l2h265dec"),
        (Codec::Mjpeg, _) => ("rtpjpegdepay", "jpegdec"),
    };
    format!("{SINK}{source} ! {unpack} ! {decode} {INTO_SINK}")
}

/// User and password, as both sources take them.
fn login(credentials: Option<&Credentials>) -> String {
    credentials.map(|c| format!(" user-id={} user-pw={}", quoted(&c.user), quoted(&c.password))).unwrap_or_default()
}

/// A pipeline for pictures one after another over HTTP (`multipart/x-mixed-replace`). It holds the password: never show it, and follow
/// no pointer to another host, which would be given it.
pub fn http(url: &str, credentials: Option<&Credentials>) -> String {
    let source = format!(
        "souphttpsrc location={} is-live=true timeout=5 retries=0 automatic-redirect=false{}",
        quoted(url),
        login(credentials)
    );
    format!("{SINK}{source} ! multipartdemux ! jpegdec {INTO_SINK}")
}

/// What FFmpeg opens for an RTSP stream. It holds the password: never show it.
pub fn ffmpeg(url: &RtspUrl, credentials: Option<&Credentials>) -> String {
    credentials.map_or_else(|| url.as_str().to_owned(), |c| url.with(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_can_t_break_out_of_its_quotes() {
        let url = RtspUrl::parse("rtsp://cam/a?b=c&d").unwrap();
        let nasty = Credentials { user: "u".into(), password: "p\" ! fakesink \\".into() };
        let text = rtsp(&url, Some(&nasty), Transport::Udp, Codec::H265, Decoder::Software);
        assert!(text.contains(r#"user-pw="p\" ! fakesink \\" ! rtph265depay"#), "{text}");
        assert!(text.contains("location=\"rtsp://cam/a?b=c&d\" protocols=udp latency=100"), "{text}");
        assert!(text.starts_with("videotestsrc") && text.ends_with("all."), "{text}");
        assert!(ffmpeg(&url, Some(&nasty)).starts_with("rtsp://u:p%22%20%21%20fakesink%20%5C@cam/"));
        assert!(http("http://cam/v", None).contains("souphttpsrc location=\"http://cam/v\""));
    }
}
