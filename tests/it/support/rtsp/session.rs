//! One client of the fault camera: its requests on one thread, its pictures on another.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use super::rtp::Packer;
use super::stream::{Codec, Unit};
use super::{Answers, Auth, Conduct, Media, Shared};

const PERIOD: Duration = Duration::from_millis(40);
/// First time stamp of a session: near the wrap, as it may be.
const FIRST_TIMESTAMP: u32 = u32::MAX - 90_000;
/// First sequence number, as [`Packer`] has it.
const FIRST_SEQUENCE: u16 = 40_000;

/// A request as it came.
struct Request {
    method: String,
    address: String,
    protocol: String,
    headers: Vec<(String, String)>,
}

impl Request {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut first = lines.next()?.split_whitespace().map(str::to_owned);
        let (method, address, protocol) = (first.next()?, first.next()?, first.next()?);
        let headers =
            lines.filter_map(|l| l.split_once(':')).map(|(k, v)| (k.to_ascii_lowercase(), v.trim().to_owned())).collect();
        Some(Self { method, address, protocol, headers })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }
}

/// The next request; RTCP that clients send in the connection is skipped. None when the client has gone.
fn next_request(mut connection: &TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Request>> {
    loop {
        let whole = if buffer.first() == Some(&b'$') {
            let length = buffer.get(2..4).map(|l| 4 + usize::from(u16::from_be_bytes([l[0], l[1]])));
            length.filter(|l| buffer.len() >= *l)
        } else {
            buffer.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4)
        };
        if let Some(length) = whole {
            let message: Vec<u8> = buffer.drain(..length).collect();
            if message[0] == b'$' {
                continue;
            }
            if let Some(request) = Request::parse(&String::from_utf8_lossy(&message)) {
                return Ok(Some(request));
            }
            continue;
        }
        let mut chunk = [0; 4096];
        match connection.read(&mut chunk)? {
            0 => return Ok(None),
            n => buffer.extend(&chunk[..n]),
        }
    }
}

/// Where a session's packets go.
enum Way {
    /// Into the RTSP connection, as these channels.
    Interleaved(u8, u8),
    /// To these addresses.
    Udp { rtp: UdpSocket, rtcp: UdpSocket, to: SocketAddr, to_rtcp: SocketAddr },
}

/// Two neighbouring ports, as RTP likes them.
fn udp_pair() -> io::Result<(UdpSocket, UdpSocket)> {
    for _ in 0..50 {
        let rtp = UdpSocket::bind("127.0.0.1:0")?;
        let port = rtp.local_addr()?.port();
        if port.is_multiple_of(2)
            && let Ok(rtcp) = UdpSocket::bind(("127.0.0.1", port + 1))
        {
            return Ok((rtp, rtcp));
        }
    }
    Err(io::Error::other("no two neighbouring ports"))
}

/// Chooses a way as the client wants it, and says so in the words of the protocol.
fn set_up(transport: &str, peer: SocketAddr) -> io::Result<(Way, String)> {
    let pair = |name: &str| {
        let (from, to) = transport.split(';').find_map(|f| f.trim().strip_prefix(name))?.split_once('-')?;
        Some((from.parse::<u16>().ok()?, to.parse::<u16>().ok()?))
    };
    if transport.contains("TCP") {
        let (rtp, rtcp) = pair("interleaved=").unwrap_or((0, 1));
        let channel = |c: u16| u8::try_from(c).map_err(io::Error::other);
        let said = format!("RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}");
        return Ok((Way::Interleaved(channel(rtp)?, channel(rtcp)?), said));
    }
    let (client, client_rtcp) = pair("client_port=").ok_or_else(|| io::Error::other("no ports"))?;
    let (rtp, rtcp) = udp_pair()?;
    let (server, server_rtcp) = (rtp.local_addr()?.port(), rtcp.local_addr()?.port());
    let said = format!("RTP/AVP;unicast;client_port={client}-{client_rtcp};server_port={server}-{server_rtcp};ssrc=0000CAFE");
    let (to, to_rtcp) = (SocketAddr::new(peer.ip(), client), SocketAddr::new(peer.ip(), client_rtcp));
    Ok((Way::Udp { rtp, rtcp, to, to_rtcp }, said))
}

/// Talks to one client until one of both has had enough.
pub(super) fn serve(connection: &TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    connection.set_nonblocking(false)?;
    connection.set_nodelay(true)?;
    connection.set_write_timeout(Some(Duration::from_secs(5)))?;
    let over = Arc::new(AtomicBool::new(false));
    let result = converse(connection, shared, &over);
    over.store(true, SeqCst);
    result
}

fn converse(connection: &TcpStream, shared: &Arc<Shared>, over: &Arc<AtomicBool>) -> io::Result<()> {
    let writer = Arc::new(Mutex::new(connection.try_clone()?));
    let say = |text: &str| writer.lock().unwrap().write_all(text.as_bytes());
    let counters = &shared.counters;
    let nonce = super::auth::md5_hex(format!("{:?}", SystemTime::now()).as_bytes());
    let (mut buffer, mut way) = (Vec::new(), None);
    while let Some(request) = next_request(connection, &mut buffer)? {
        let conduct = shared.conduct();
        let authority = request.address.split("://").nth(1).unwrap_or("").split('/').next().unwrap_or("");
        if authority.contains('@') {
            Shared::add(&counters.credentials_in_url);
        }
        let authorization = request.header("authorization");
        if matches!(shared.auth, Auth::Digest(..)) && authorization.is_some_and(|a| a.starts_with("Basic ")) {
            Shared::add(&counters.credentials_in_clear);
        }
        let asks_for_media = matches!(request.method.as_str(), "GET" | "DESCRIBE" | "SETUP");
        match conduct.answers {
            Answers::None => continue,
            Answers::Garbage => {
                let mut noise = Noise(u64::from(shared.port));
                let bytes: Vec<u8> = (0..600).map(|_| noise.byte()).collect();
                writer.lock().unwrap().write_all(&bytes)?;
                continue;
            }
            Answers::Right | Answers::Status(..) => {}
        }
        let head = format!("{} ", if request.protocol.starts_with("HTTP") { "HTTP/1.1" } else { "RTSP/1.0" });
        let number = format!("CSeq: {}\r\n", request.header("cseq").unwrap_or("0"));
        if asks_for_media && !shared.auth.allows(&request.method, authorization, &nonce) {
            Shared::add(&counters.refused);
            let challenge = shared.auth.challenge(&nonce);
            say(&format!("{head}401 Unauthorized\r\n{number}WWW-Authenticate: {challenge}\r\nContent-Length: 0\r\n\r\n"))?;
            continue;
        }
        if let (Answers::Status(code, words), true) = (conduct.answers, asks_for_media) {
            say(&format!("{head}{code} {words}\r\n{number}Content-Length: 0\r\n\r\n"))?;
            continue;
        }
        let good = format!("{head}200 OK\r\n{number}");
        let session = "Session: 4711;timeout=60\r\n";
        match request.method.as_str() {
            "GET" => return show(connection, &writer, shared, over),
            "OPTIONS" => say(&format!("{good}Public: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN\r\n\r\n"))?,
            "DESCRIBE" => {
                let media = conduct.scene.recording.sdp();
                let body = format!(
                    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=road\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=range:npt=now-\r\n\
                     {media}a=framerate:25\r\na=control:track1\r\n"
                );
                let base = request.address.trim_end_matches('/');
                let kind = format!("Content-Base: {base}/\r\nContent-Type: application/sdp\r\nContent-Length: {}", body.len());
                say(&format!("{good}{kind}\r\n\r\n{body}"))?;
            }
            "SETUP" => {
                let (chosen, said) = set_up(request.header("transport").unwrap_or(""), connection.peer_addr()?)?;
                way = Some(chosen);
                say(&format!("{good}{session}Transport: {said}\r\n\r\n"))?;
            }
            "PLAY" => {
                let Some(way) = way.take() else {
                    say(&format!("{head}455 Method Not Valid in This State\r\n{number}\r\n"))?;
                    continue;
                };
                let track = request.address.trim_end_matches('/');
                let track = if track.ends_with("track1") { track.to_owned() } else { format!("{track}/track1") };
                let start = format!("seq={FIRST_SEQUENCE};rtptime={FIRST_TIMESTAMP}");
                say(&format!("{good}{session}Range: npt=now-\r\nRTP-Info: url={track};{start}\r\n\r\n"))?;
                Shared::add(&counters.sessions);
                let recording = &conduct.scene.recording;
                let packer = Packer::new(recording.codec, recording.payload_type(), 0xcafe);
                let mut sender =
                    Sender { way, writer: Arc::clone(&writer), packer, noise: Noise(7), sent: (0, 0), reported: None };
                let (shared, over, connection) = (Arc::clone(shared), Arc::clone(over), connection.try_clone()?);
                std::thread::spawn(move || {
                    play(&shared, &over, |conduct, unit, at| sender.send(&shared, conduct, unit, at));
                    drop(connection.shutdown(std::net::Shutdown::Both));
                });
            }
            "TEARDOWN" => {
                say(&format!("{good}{session}\r\n"))?;
                return Ok(());
            }
            _ => say(&format!("{good}{session}\r\n"))?,
        }
    }
    Ok(())
}

/// Calls `send` for every picture when it is due, with the time since the start, until it breaks off or the session is over.
fn play(shared: &Shared, over: &AtomicBool, mut send: impl FnMut(&Conduct, &Unit, Duration) -> ControlFlow<()>) {
    let start = Instant::now();
    let first = shared.conduct();
    let (mut scene_no, mut once) = (first.scene_no, 0..0);
    let mut next = first.scene.repeat.start;
    let mut due = start;
    while !over.load(SeqCst) && !shared.stop.load(SeqCst) {
        let now = Instant::now();
        if now < due {
            std::thread::sleep((due - now).min(PERIOD));
            continue;
        }
        let conduct = shared.conduct();
        if conduct.scene_no != scene_no {
            scene_no = conduct.scene_no;
            once = conduct.scene.once.clone();
            next = conduct.scene.repeat.start;
            if conduct.scene.recording.codec != first.scene.recording.codec {
                return;
            }
        }
        let units = &conduct.scene.recording.units;
        let unit = match conduct.media {
            Media::Stall => None,
            Media::Frozen => Some(&units[conduct.scene.repeat.start]),
            _ => Some(
                &units[once.next().unwrap_or_else(|| {
                    let unit = next;
                    next = if unit + 1 < conduct.scene.repeat.end { unit + 1 } else { conduct.scene.repeat.start };
                    unit
                })],
            ),
        };
        if let Some(unit) = unit {
            if send(&conduct, unit, due - start).is_break() {
                return;
            }
            Shared::add(&shared.counters.pictures);
        }
        due += if let Media::Flood(frames_per_s) = conduct.media { Duration::from_secs(1) / frames_per_s } else { PERIOD };
        // A client that was slow to read does not get a burst later.
        due = due.max(Instant::now().checked_sub(Duration::from_secs(1)).unwrap_or(due));
    }
}

struct Sender {
    way: Way,
    writer: Arc<Mutex<TcpStream>>,
    packer: Packer,
    noise: Noise,
    sent: (u32, u32),
    reported: Option<Duration>,
}

impl Sender {
    fn send(&mut self, shared: &Shared, conduct: &Conduct, unit: &Unit, at: Duration) -> ControlFlow<()> {
        let ticks = u32::try_from(at.as_nanos() * 9 / 100_000 % (1 << 32)).expect("below 2^32");
        let timestamp = FIRST_TIMESTAMP.wrapping_add(ticks);
        let mut packets = self.packer.pack(unit, timestamp);
        packets.retain(|_| {
            let stays = self.noise.share() >= conduct.drop_share;
            Shared::add(if stays { &shared.counters.packets } else { &shared.counters.dropped });
            stays
        });
        for packet in &mut packets {
            if conduct.media == Media::Garbage {
                packet[12..].fill_with(|| self.noise.byte());
            } else if self.noise.share() < conduct.flip_share {
                for _ in 0..3 {
                    let at = 12 + usize::from(self.noise.byte()) * (packet.len() - 12) / 256;
                    packet[at] ^= 1 << (self.noise.byte() % 8);
                }
            }
            self.sent = (self.sent.0 + 1, self.sent.1.wrapping_add(u32::try_from(packet.len()).unwrap()));
        }
        let report = self.reported.is_none_or(|before| at > before + Duration::from_secs(2)).then(|| {
            self.reported = Some(at);
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
            let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
            self.packer.report(((since.as_secs() + 2_208_988_800) << 32) | fraction, timestamp, self.sent.0, self.sent.1)
        });
        match &self.way {
            Way::Interleaved(rtp, rtcp) => {
                let mut bytes = Vec::new();
                let packets = packets.iter().map(|p| (rtp, p)).chain(report.iter().map(|r| (rtcp, r)));
                for (channel, packet) in packets {
                    bytes.extend([b'$', *channel]);
                    bytes.extend(u16::try_from(packet.len()).unwrap().to_be_bytes());
                    bytes.extend(packet);
                }
                if self.writer.lock().unwrap().write_all(&bytes).is_err() {
                    return ControlFlow::Break(());
                }
            }
            Way::Udp { rtp, rtcp, to, to_rtcp } => {
                // Whether anyone hears it is not known here; the RTSP connection tells when the client goes.
                packets.iter().for_each(|p| drop(rtp.send_to(p, to)));
                report.iter().for_each(|r| drop(rtcp.send_to(r, to_rtcp)));
            }
        }
        ControlFlow::Continue(())
    }
}

/// Motion JPEG by HTTP.
fn show(connection: &TcpStream, writer: &Mutex<TcpStream>, shared: &Shared, over: &AtomicBool) -> io::Result<()> {
    if shared.conduct().scene.recording.codec != Codec::Jpeg {
        return writer.lock().unwrap().write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    }
    Shared::add(&shared.counters.sessions);
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=next\r\n\r\n";
    writer.lock().unwrap().write_all(head)?;
    let mut noise = Noise(7);
    play(shared, over, |conduct, unit, _| {
        let mut file = unit.nals[0].clone();
        if conduct.media == Media::Garbage {
            file.fill_with(|| noise.byte());
        }
        let head = format!("--next\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", file.len());
        let part = [head.as_bytes(), &file, b"\r\n"].concat();
        if (&*connection).write_all(&part).is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    Ok(())
}

/// Numbers that look like chance and are the same in every run (splitmix64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn share(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap()) / 4_294_967_296.0
    }
}
