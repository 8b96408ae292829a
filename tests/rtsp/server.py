#!/usr/bin/python3
"""A real RTSP server for tests and benches: GStreamer's own, through Debian's gir1.2-gst-rtsp-server-1.0.

    server.py [--port 8554] [--user NAME --password WORD --scheme digest|basic] [--fps 25] [--shared] NAME=FILE ...

Every NAME=FILE is a mount point rtsp://127.0.0.1:PORT/NAME that plays FILE (MP4, Matroska or Annex B; H.264, H.265 or
motion JPEG with the standard Huffman tables) over and over in real time, for hours. Nothing is decoded or encoded: the file
is split into access units once, kept in memory and given new time stamps on every turn. Each client gets a turn of its own
from the first frame on; with --shared all clients of a mount point see the same moment, as with a camera. Annex B has no
time stamps: --fps is its pace.

The first line of standard output is "ready PORT" (--port 0 picks a free one). SIGUSR1 hangs up on all clients, SIGTERM ends
the server. Needs /usr/bin/python3.
"""

import argparse
import signal
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstApp, GstRtsp, GstRtspServer  # noqa: E402,F401  GstApp gives appsink its methods

# What a stream is called -> its parser, its caps between here and the payloader, and its payloader.
CODECS = {
    "video/x-h264": (
        "h264parse",
        "video/x-h264,stream-format=byte-stream,alignment=au",
        "h264parse ! rtph264pay name=pay0 pt=96 config-interval=1",
    ),
    "video/x-h265": (
        "h265parse",
        "video/x-h265,stream-format=byte-stream,alignment=au",
        "h265parse ! rtph265pay name=pay0 pt=96 config-interval=1",
    ),
    "image/jpeg": ("jpegparse", "image/jpeg", "rtpjpegpay name=pay0 pt=26"),
}


class Recording:
    """The access units of one file: caps, (bytes, dts, pts) in decoding order, and how long a turn takes, in ns."""

    def __init__(self, path, fps):
        self.codec = None
        self.units = []
        pipeline = Gst.Pipeline()
        source = Gst.ElementFactory.make("filesrc")
        source.set_property("location", path)
        bin_ = Gst.ElementFactory.make("parsebin")
        self._sink = Gst.ElementFactory.make("appsink")
        self._sink.set_property("sync", False)
        for element in (source, bin_, self._sink):
            pipeline.add(element)
        source.link(bin_)
        bin_.connect("pad-added", self._found, pipeline)
        pipeline.set_state(Gst.State.PLAYING)
        bus = pipeline.get_bus()
        caps = None
        while True:
            sample = self._sink.try_pull_sample(Gst.SECOND // 10)
            if sample is None:
                fault = bus.pop_filtered(Gst.MessageType.ERROR)
                if fault is not None:
                    raise SystemExit(f"{path}: {fault.parse_error()[0].message}")
                if self._sink.get_property("eos"):
                    break
                continue
            caps = sample.get_caps()
            buffer = sample.get_buffer()
            self.units.append((buffer.extract_dup(0, buffer.get_size()), buffer.dts, buffer.pts))
        pipeline.set_state(Gst.State.NULL)
        if not self.units:
            raise SystemExit(f"{path}: no H.264, H.265 or JPEG pictures in it")
        frame = Gst.SECOND // fps
        told, rate_num, rate_den = caps.get_structure(0).get_fraction("framerate")
        if not path.endswith((".h264", ".h265", ".264", ".265", ".hevc")) and told and rate_num:
            frame = Gst.SECOND * rate_den // rate_num
        elif any(pts == Gst.CLOCK_TIME_NONE for _, _, pts in self.units) or path.endswith((".h264", ".h265")):
            # No time stamps of its own: one frame after the other. (Nor B-frames, then.)
            self.units = [(data, i * frame, i * frame) for i, (data, _, _) in enumerate(self.units)]
        # A turn starts at its first picture; each picture keeps its place after that.
        first = min(dts if dts != Gst.CLOCK_TIME_NONE else pts for _, dts, pts in self.units)
        self.units = [(data, (pts if dts == Gst.CLOCK_TIME_NONE else dts) - first, pts - first) for data, dts, pts in self.units]
        self.turn_ns = frame * len(self.units)
        self.caps = caps

    def _found(self, _bin, pad, pipeline):
        name = pad.query_caps(None).get_structure(0).get_name()
        if self.codec is not None or name not in CODECS:
            return
        self.codec = name
        parser, caps, _ = CODECS[name]
        parser = Gst.ElementFactory.make(parser)
        narrow = Gst.ElementFactory.make("capsfilter")
        narrow.set_property("caps", Gst.Caps.from_string(caps))
        for element in (parser, narrow):
            pipeline.add(element)
            element.sync_state_with_parent()
        pad.link(parser.get_static_pad("sink"))
        parser.link(narrow)
        narrow.link(self._sink)


class Mount(GstRtspServer.RTSPMediaFactory):
    """A mount point: an appsrc that never runs dry before the payloader."""

    def __init__(self, recording):
        super().__init__()
        self.recording = recording

    def do_create_element(self, _url):
        source = "appsrc name=source format=time block=false max-bytes=4000000"
        return Gst.parse_bin_from_description(f"{source} ! {CODECS[self.recording.codec][2]}", False)

    def do_configure(self, media):
        # The clock of the pipeline paces the sinks, so the source only keeps a little ahead.
        appsrc = media.get_element().get_by_name("source")
        appsrc.set_property("caps", self.recording.caps)
        media.turn = [0, 0]
        appsrc.connect("need-data", self._feed, media.turn)

    def _feed(self, appsrc, _length, turn):
        turns, i = turn
        data, dts, pts = self.recording.units[i]
        buffer = Gst.Buffer.new_wrapped(data)
        base = turns * self.recording.turn_ns
        buffer.dts, buffer.pts = base + dts, base + pts
        buffer.duration = self.recording.turn_ns // len(self.recording.units)
        appsrc.emit("push-buffer", buffer)
        turn[:] = (turns, i + 1) if i + 1 < len(self.recording.units) else (turns + 1, 0)


def allow_viewers(factory):
    """Whoever has proved who they are may look and play."""
    role = Gst.Structure.new_empty("viewer")
    for what in (GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT):
        role.set_value(what, True)
    factory.add_role_from_structure(role)


def authentication(user, password, scheme):
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "viewer")
    if scheme == "basic":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    else:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password, token)
    return auth


def hang_up(server):
    server.client_filter(lambda _server, _client: GstRtspServer.RTSPFilterResult.REMOVE)
    return GLib.SOURCE_CONTINUE


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--port", default=8554, type=int)
    arguments.add_argument("--user")
    arguments.add_argument("--password", default="")
    arguments.add_argument("--scheme", choices=("digest", "basic"), default="digest")
    arguments.add_argument("--fps", default=25, type=int, help="of Annex B files")
    arguments.add_argument("--shared", action="store_true", help="one turn for all clients of a mount point")
    arguments.add_argument("mounts", nargs="+", metavar="NAME=FILE")
    given = arguments.parse_args()

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(given.port))
    if given.user is not None:
        server.set_auth(authentication(given.user, given.password, given.scheme))
    recordings = {}
    for mount in given.mounts:
        name, _, path = mount.partition("=")
        if path not in recordings:
            recordings[path] = Recording(path, given.fps)
        factory = Mount(recordings[path])
        factory.set_shared(given.shared)
        if given.user is not None:
            allow_viewers(factory)
        server.get_mount_points().add_factory(f"/{name}", factory)
    loop = GLib.MainLoop()
    if server.attach(None) == 0:
        raise SystemExit(f"port {given.port} is taken")
    # Sessions of clients that went without a word end after their time-out.
    GLib.timeout_add_seconds(2, lambda: server.get_session_pool().cleanup() >= 0)
    for number in (signal.SIGTERM, signal.SIGINT):
        GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, number, loop.quit)
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGUSR1, hang_up, server)
    print("ready", server.get_bound_port(), flush=True)
    loop.run()


if __name__ == "__main__":
    sys.exit(main())
