//! Asks a camera what it has before a decoder is let loose on it: one RTSP `DESCRIBE` over TCP, with time-outs.
//!
//! A decoder says of everything that goes wrong only that it got no pictures. This says whether the camera was found, whether it
//! takes the password, whether it knows the stream, and what the stream is coded in, which the decoder's pipeline has to know.
//! RTSP 1.0 (RFC 2326), Digest (RFC 7616, MD5 and SHA-256) or Basic authentication, SDP (RFC 8866). Runs on the `grab-<camera>` thread:
//! looking up a name may take as long as the system's resolver likes.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use digest_auth::{AuthContext, HttpMethod};

use super::CameraError;
use super::credentials::Credentials;

/// What a stream is coded in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// H.264, AVC.
    H264,
    /// H.265, HEVC.
    H265,
    /// JPEG pictures.
    Mjpeg,
}

impl Codec {
    /// As people say it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::H264 => "H.264",
            Self::H265 => "H.265",
            Self::Mjpeg => "MJPEG",
        }
    }
}

/// A stream's address: `rtsp://host[:port]/path`, without a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtspUrl {
    text: String,
    host: String,
    port: u16,
}

impl RtspUrl {
    /// RTSP's own port.
    pub const PORT: u16 = 554;

    /// Reads and checks an address.
    ///
    /// # Errors
    /// Says in words what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("rtsp://") else {
            return Err("is no address of an RTSP stream; it looks like rtsp://host:554/path".into());
        };
        let authority = rest.split(['/', '?']).next().unwrap_or(rest);
        if authority.contains('@') {
            return Err(
                "has a user or a password in it; put them into a file, one line user:password, and name it by credentials".into(),
            );
        }
        if text.contains(|c: char| c.is_control() || c.is_whitespace() || matches!(c, '"' | '\\' | '<' | '>')) {
            return Err("has a character in it that addresses can't have; write it as %XX".into());
        }
        let (host, port) = match authority.strip_prefix('[').and_then(|a| a.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or("?"))),
            None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Ok(Self::PORT), str::parse).map_err(|_| "has a port that is none (1 to 65535)".to_owned())?;
        if host.is_empty() || port == 0 {
            return Err("names no host, or port 0".into());
        }
        Ok(Self { text: text.to_owned(), host: host.to_owned(), port })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// With `{user}` and `{password}` filled in. Never show it.
    pub(super) fn filled(&self, credentials: Option<&Credentials>) -> Self {
        Self { text: filled(&self.text, credentials), ..self.clone() }
    }

    /// With a user and a password in it, as FFmpeg wants them. Never show it.
    pub(super) fn with(&self, credentials: &Credentials) -> String {
        let rest = self.text.strip_prefix("rtsp://").unwrap_or(&self.text);
        format!("rtsp://{}:{}@{rest}", escaped(&credentials.user), escaped(&credentials.password))
    }
}

/// As an address may have it (RFC 3986, unreserved characters).
fn escaped(text: &str) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~".contains(b);
    text.bytes().map(|b| if plain(&b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// An address with `{user}` and `{password}` filled in, for cameras that want them in the path. Never show it.
pub(super) fn filled(url: &str, credentials: Option<&Credentials>) -> String {
    let (user, password) = credentials.map_or(("", ""), |c| (c.user.as_str(), c.password.as_str()));
    url.replace("{user}", &escaped(user)).replace("{password}", &escaped(password))
}

/// Longest answer that is read, bytes: descriptions of streams have some thousand.
const MAX_ANSWER: usize = 64 * 1024;

/// What the stream is coded in, as its camera describes it.
///
/// # Errors
/// [`CameraError::Lost`] in words: not found, refused, no answer in time, password, no such stream, no video that we decode.
pub fn describe(url: &RtspUrl, credentials: Option<&Credentials>, within: Duration) -> Result<Codec, CameraError> {
    let until = Instant::now() + within;
    let mut camera = connect(url, until)?;
    let mut answer = ask(&mut camera, url, 1, None, until)?;
    if answer.status == 401 {
        let Some(credentials) = credentials else {
            return Err(lost("the camera wants a user and a password (401): give the camera its credentials"));
        };
        let authorization = authorize(&answer, url, credentials)?;
        // Some cameras hang up after a refusal.
        let again = ask(&mut camera, url, 2, Some(&authorization), until);
        answer = match again {
            Ok(answer) => answer,
            Err(_) => ask(&mut connect(url, until)?, url, 3, Some(&authorization), until)?,
        };
        if answer.status == 401 || answer.status == 403 {
            return Err(lost(&format!("the camera refuses user or password ({})", answer.status)));
        }
    }
    match answer.status {
        200 => codec(&answer.body),
        404 => Err(lost("the camera knows no such stream (404): check the path of its url")),
        453 | 503 => Err(lost(&format!("the camera has no room for another viewer ({} {})", answer.status, answer.reason))),
        300..400 => Err(lost(&format!("the camera points to another address ({}): put that into its url", answer.status))),
        other => Err(lost(&format!("the camera answers {other} {}", answer.reason))),
    }
}

fn lost(why: &str) -> CameraError {
    CameraError::Lost(why.to_owned())
}

fn connect(url: &RtspUrl, until: Instant) -> Result<TcpStream, CameraError> {
    let addresses: Vec<_> = (url.host.as_str(), url.port)
        .to_socket_addrs()
        .map_err(|e| lost(&format!("the camera's name can't be looked up: {e}")))?
        .collect();
    let mut fault = lost("the camera's name has no address");
    for (tried, address) in addresses.iter().enumerate() {
        // Each gets its share of what is left: the first may be of a network that the box is not on.
        let share = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let left = (until.saturating_duration_since(Instant::now()) / share).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(address, left) {
            Ok(camera) => return Ok(camera),
            Err(e) => {
                fault = lost(&match e.kind() {
                    std::io::ErrorKind::ConnectionRefused => format!("the camera refuses connections on port {}", url.port),
                    std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock => {
                        "the camera does not answer: is it on, and on this network?".into()
                    }
                    _ => format!("the camera can't be reached: {e}"),
                });
            }
        }
    }
    Err(fault)
}

/// An answer of the camera.
struct Answer {
    status: u16,
    reason: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

fn ask(
    camera: &mut TcpStream,
    url: &RtspUrl,
    number: u32,
    authorization: Option<&str>,
    until: Instant,
) -> Result<Answer, CameraError> {
    let authorization = authorization.map(|a| format!("Authorization: {a}\r\n")).unwrap_or_default();
    let request = format!(
        "DESCRIBE {} RTSP/1.0\r\nCSeq: {number}\r\nAccept: application/sdp\r\nUser-Agent: kerbside/{}\r\n{authorization}\r\n",
        url.as_str(),
        env!("CARGO_PKG_VERSION")
    );
    let broken = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock => {
            lost("the camera takes the connection and does not answer")
        }
        _ => lost(&format!("the camera breaks the connection: {e}")),
    };
    let left = || until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    camera.set_write_timeout(Some(left())).map_err(broken)?;
    camera.write_all(request.as_bytes()).map_err(broken)?;
    let mut bytes = Vec::new();
    let mut part = [0u8; 4096];
    loop {
        if let Some(answer) = parse(&bytes)? {
            return Ok(answer);
        }
        if bytes.len() > MAX_ANSWER {
            return Err(lost("the camera's answer is no end of bytes, not RTSP"));
        }
        if Instant::now() >= until {
            return Err(lost("the camera takes the connection and does not answer"));
        }
        camera.set_read_timeout(Some(left())).map_err(broken)?;
        let n = camera.read(&mut part).map_err(broken)?;
        if n == 0 {
            return Err(lost("the camera hangs up instead of answering"));
        }
        bytes.extend_from_slice(&part[..n]);
    }
}

/// The answer, once all of it is there.
fn parse(bytes: &[u8]) -> Result<Option<Answer>, CameraError> {
    let strange = || lost("what answers there does not speak RTSP");
    let begins = bytes.len().min(5);
    if bytes[..begins] != b"RTSP/"[..begins] {
        return Err(strange());
    }
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().splitn(3, ' ');
    let status = first.nth(1).and_then(|s| s.parse().ok()).ok_or_else(strange)?;
    // Shown to people, so nothing but plain letters, and not many.
    let reason: String =
        first.next().unwrap_or_default().chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(60).collect();
    let headers: Vec<(String, String)> =
        lines.filter_map(|line| line.split_once(':')).map(|(n, v)| (n.trim().to_lowercase(), v.trim().to_owned())).collect();
    let length =
        headers.iter().find(|(n, _)| n == "content-length").map_or(Ok(0), |(_, v)| v.parse::<usize>()).map_err(|_| strange())?;
    if length > MAX_ANSWER {
        return Err(strange());
    }
    let body = bytes.get(end + 4..end + 4 + length);
    Ok(body.map(|body| Answer { status, reason, headers, body: body.to_vec() }))
}

/// What shows the camera that we know the password, without sending it where that can be helped.
fn authorize(refusal: &Answer, url: &RtspUrl, credentials: &Credentials) -> Result<String, CameraError> {
    let offers = || refusal.headers.iter().filter(|(n, _)| n == "www-authenticate").map(|(_, v)| v.as_str());
    let is = |offer: &&str, scheme: &str| offer.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme));
    // Of several digests the first that we know: cameras put the better ones first.
    for offer in offers().filter(|o| is(o, "digest")) {
        let context = AuthContext::new_with_method::<_, _, _, &[u8]>(
            credentials.user.as_str(),
            credentials.password.as_str(),
            url.as_str(),
            None,
            HttpMethod("DESCRIBE".into()),
        );
        if let Ok(answer) = digest_auth::parse(offer).and_then(|mut prompt| prompt.respond(&context)) {
            return Ok(answer.to_header_string());
        }
    }
    if offers().any(|o| is(&o, "basic")) {
        return Ok(format!("Basic {}", STANDARD.encode(format!("{}:{}", credentials.user, credentials.password))));
    }
    Err(lost("the camera wants a password in a way that we don't know (neither Digest nor Basic)"))
}

/// What the first video of a description is coded in.
fn codec(description: &[u8]) -> Result<Codec, CameraError> {
    let session = sdp_types::Session::parse(description)
        .map_err(|e| lost(&format!("the camera's description of the stream can't be read: {e}")))?;
    let Some(video) = session.medias.iter().find(|m| m.media == "video") else {
        return Err(lost("the stream has no video in it"));
    };
    let format = video.fmt.split_whitespace().next().unwrap_or_default();
    let map = video.attributes.iter().filter(|a| a.attribute == "rtpmap").filter_map(|a| a.value.as_deref()?.split_once(' '));
    let name = map
        .filter(|(number, _)| *number == format)
        .map(|(_, name)| name.split('/').next().unwrap_or_default().to_uppercase())
        .next();
    match (name.as_deref(), format) {
        (Some("H264"), _) => Ok(Codec::H264),
        (Some("H265" | "HEVC"), _) => Ok(Codec::H265),
        // 26 needs no map (RFC 3551).
        (Some("JPEG"), _) | (None, "26") => Ok(Codec::Mjpeg),
        (name, _) => {
            let name: String = name.unwrap_or(format).chars().filter(char::is_ascii_alphanumeric).take(20).collect();
            Err(lost(&format!("the stream is coded in {name}: set the camera to H.264, H.265 or MJPEG")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn addresses_are_taken_apart_and_passwords_in_them_refused() {
        let of = |text: &str| RtspUrl::parse(text).map(|u| (u.host, u.port));
        assert_eq!(of("rtsp://cam/stream?ch=1@2"), Ok(("cam".into(), 554)));
        assert_eq!(of("rtsp://10.0.0.5:8554/a"), Ok(("10.0.0.5".into(), 8554)));
        assert_eq!(of("rtsp://[fe80::1]:8554/a"), Ok(("fe80::1".into(), 8554)));
        assert_eq!(of("rtsp://[fe80::1]"), Ok(("fe80::1".into(), 554)));
        assert!(of("rtsp://u:p@cam/a").unwrap_err().contains("credentials"));
        for bad in
            ["http://cam/a", "rtsp://", "rtsp://cam:0/a", "rtsp://cam:x/a", "rtsp://[::1]x/a", "rtsp://cam/a b", "rtsp://cam/\"!"]
        {
            assert!(of(bad).is_err(), "{bad}");
        }
        let odd = Credentials { user: "a b".into(), password: "p:/@ü".into() };
        assert_eq!(RtspUrl::parse("rtsp://cam/a").unwrap().with(&odd), "rtsp://a%20b:p%3A%2F%40%C3%BC@cam/a");
        let inside = RtspUrl::parse("rtsp://cam/user={user}&password={password}&x=1").unwrap();
        assert_eq!(inside.filled(Some(&odd)).as_str(), "rtsp://cam/user=a%20b&password=p%3A%2F%40%C3%BC&x=1");
    }

    #[test]
    fn descriptions_tell_the_codec() {
        let sdp = |media: &str| codec(format!("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\n{media}").as_bytes());
        let audio = "m=audio 0 RTP/AVP 0\r\n";
        assert_eq!(sdp(&format!("{audio}m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n")).unwrap(), Codec::H264);
        assert_eq!(sdp("m=video 0 RTP/AVP 98\r\na=rtpmap:98 h265/90000\r\n").unwrap(), Codec::H265);
        assert_eq!(sdp("m=video 0 RTP/AVP 26\r\n").unwrap(), Codec::Mjpeg);
        assert!(sdp(audio).unwrap_err().to_string().contains("no video"));
        let other = sdp("m=video 0 RTP/AVP 97\r\na=rtpmap:97 MP4V-ES/90000\r\n").unwrap_err().to_string();
        assert!(other.contains("coded in MP4VES: set the camera to H.264"), "{other}");
        assert!(codec(b"\xff\xff").is_err());
    }

    /// What `describe` makes of a camera that answers each request with the next of `answers` and then says nothing more.
    fn answered(answers: &'static [&'static str], credentials: Option<&Credentials>) -> (Result<Codec, CameraError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = RtspUrl::parse(&format!("rtsp://127.0.0.1:{}/s", listener.local_addr().unwrap().port())).unwrap();
        let camera = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let (mut heard, mut part) = (String::new(), [0; 4096]);
            for answer in answers {
                let n = client.read(&mut part).unwrap_or(0);
                heard += &String::from_utf8_lossy(&part[..n]);
                client.write_all(answer.as_bytes()).unwrap();
            }
            // Held open, silent, until the other end has gone.
            drop(client.read(&mut part));
            heard
        });
        let result = describe(&url, credentials, Duration::from_millis(300));
        (result, camera.join().unwrap())
    }

    #[test]
    fn what_a_camera_answers_becomes_plain_words() {
        let words = |answers| answered(answers, None).0.unwrap_err().to_string();
        assert!(words(&[""]).contains("does not answer"));
        assert!(words(&["SSH-2.0-x\r\n"]).contains("does not speak RTSP"));
        assert!(words(&["RTSP/1.0 404 Not Found\r\n\r\n"]).contains("knows no such stream"));
        assert!(words(&["RTSP/1.0 453 Not Enough Bandwidth\r\n\r\n"]).contains("no room for another viewer"));
        assert!(words(&["RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\r\n"]).contains("wants a user"));
        assert!(words(&["RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n"]).contains("does not speak RTSP"));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = RtspUrl::parse(&format!("rtsp://127.0.0.1:{}/s", listener.local_addr().unwrap().port())).unwrap();
        drop(listener);
        assert!(describe(&url, None, Duration::from_secs(1)).unwrap_err().to_string().contains("refuses connections on port"));
    }

    #[test]
    fn a_password_goes_as_a_digest_where_the_camera_can() {
        let credentials = Credentials { user: "u".into(), password: "secret".into() };
        const REFUSAL: &str = "RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"c\"\r\nWWW-Authenticate: Digest realm=\"c\", nonce=\"n\"\r\n\r\n";
        let (result, heard) = answered(&[REFUSAL, "RTSP/1.0 401 Unauthorized\r\n\r\n"], Some(&credentials));
        assert!(result.unwrap_err().to_string().contains("refuses user or password (401)"));
        // RFC 2617 without qop: MD5(MD5(user:realm:password):nonce:MD5(method:uri)).
        assert!(
            heard.contains("Authorization: Digest username=\"u\", realm=\"c\", nonce=\"n\"") && !heard.contains("secret"),
            "{heard}"
        );
    }
}
