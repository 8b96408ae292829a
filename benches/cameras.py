#!/usr/bin/env python3
"""What live cameras cost: the whole daemon against decoding the same streams alone.

A real RTSP server (tests/rtsp/server.py, `make rtsp` installs what it needs) plays clips over and over. In turn, ROUNDS times: FFmpeg
decodes each stream to nothing (the floor), then `kerbside run` reads them with a broker to send to. CPU seconds are those of
the window after both have started, from the kernel's accounting of the process; health messages and records tell what became of
the frames and of the vehicles.

    python3 benches/cameras.py CLIP[=TRUTH.csv] ... [--seconds 60] [--rounds 3] [--backend gstreamer] [--soak SECONDS]

Several clips are several cameras. With --soak the daemon runs once, for so long, and its memory is fitted by a line. Needs
mosquitto, mosquitto_sub and ffmpeg.
"""

import argparse
import csv
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "target/release/kerbside"
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
# Both have opened their streams and loaded their models by then.
SETTLE_S = 4


def cpu_s(pid: int) -> float:
    """User and system time of a process and its threads so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def resident_mib(pid: int) -> float:
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def over(processes: list[subprocess.Popen], seconds: float) -> float:
    """CPU seconds of processes over a window that begins when they have settled."""
    time.sleep(SETTLE_S)
    before = [cpu_s(p.pid) for p in processes]
    time.sleep(seconds)
    return sum(cpu_s(p.pid) - b for p, b in zip(processes, before))


def end(process: subprocess.Popen) -> None:
    process.terminate()
    process.wait()


def floor(urls: list[str], seconds: float) -> float:
    """FFmpeg, one thread a stream, decoding to nothing."""
    command = ["ffmpeg", "-v", "error", "-threads", "1", "-rtsp_transport", "tcp"]
    running = [subprocess.Popen([*command, "-i", url, "-an", "-f", "null", "-"], stdin=subprocess.DEVNULL) for url in urls]
    spent = over(running, seconds)
    for process in running:
        end(process)
    return spent


class Daemon:
    """`kerbside run` with a broker, and all that it published."""

    def __init__(self, work: pathlib.Path, urls: list[str], broker: int, backend: str):
        tables = [f'[[camera]]\nid = "cam-{i}"\nkind = "rtsp"\nurl = "{url}"\nbackend = "{backend}"\n' for i, url in enumerate(urls)]
        library = os.environ.get("ORT_DYLIB_PATH", str(ROOT / ".deps/ort/libonnxruntime.so.1"))
        self.work = pathlib.Path(tempfile.mkdtemp(dir=work))
        configuration = self.work / "kerbside.toml"
        configuration.write_text(
            f'org = "o"\ndevice = "d"\nstate_dir = "{self.work}/state"\n[models]\ndir = "{ROOT}/models"\nonnxruntime = "{library}"\n'
            f'[mqtt]\nhost = "127.0.0.1"\nport = {broker}\ntransport = "plain"\n' + "".join(tables)
        )
        self.heard = self.work / "heard"
        self.listener = subprocess.Popen(
            ["mosquitto_sub", "-p", str(broker), "-t", "kerbside/v1/o/d/read", "-t", "kerbside/v1/o/d/health", "-F", "%t %p"],
            stdout=self.heard.open("w"),
        )
        time.sleep(0.5)
        self.process = subprocess.Popen([str(PROGRAM), "run", "--config", str(configuration)], stderr=(self.work / "log").open("w"))

    def stop(self) -> float:
        """Ends it; seconds until it had."""
        began = time.monotonic()
        end(self.process)
        took = time.monotonic() - began
        time.sleep(0.5)
        end(self.listener)
        return took

    def messages(self, topic: str) -> list[dict]:
        lines = self.heard.read_text().splitlines()
        return [json.loads(line.split(" ", 1)[1]) for line in lines if line.split(" ", 1)[0].endswith("/" + topic)]


def truth_of(path: str) -> set[str]:
    with open(path, newline="") as file:
        return {row["vrm"] for row in csv.DictReader(file)}


def report(daemon: Daemon, truths: list[set[str] | None]) -> None:
    health = daemon.messages("health")[-1]
    for i, truth in enumerate(truths):
        camera = health["cameras"][f"cam-{i}"]
        said = f"  cam-{i}: {camera['frames']} frames, {camera['dropped']} dropped, {camera['no_buffer']} without buffer, {camera['frames_per_s']} a second"
        if truth:
            read = {record["vrm"] for record in daemon.messages("read") if record["camera"] == f"cam-{i}"}
            missed = sorted(truth - read)
            said += f"; {len(truth & read)} of {len(truth)} vehicles read, {len(read - truth)} other records"
            said += f", missed {' '.join(missed[:9])}" if missed else ""
        print(said)
    counters = health["counters"]
    print(f"  still {counters['frames_still']} of {counters['frames_processed']}; CPU ms a frame {health['cpu_ms_a_frame']}; alarms {health['alarms']}")


def soak(daemon: Daemon, seconds: float, truths: list[set[str] | None]) -> None:
    """Memory over a long run: first, last, highest, and the slope of its second half."""
    samples, began = [], time.monotonic()
    while (at := time.monotonic() - began) < seconds:
        samples.append((at, resident_mib(daemon.process.pid)))
        time.sleep(min(5.0, seconds / 20))
    late = [s for s in samples if s[0] > seconds / 2]
    middle, mean = statistics.mean(s[0] for s in late), statistics.mean(s[1] for s in late)
    slope = sum((t - middle) * (m - mean) for t, m in late) / sum((t - middle) ** 2 for t, _ in late) * 3600
    print(f"soak of {seconds:.0f} s: {samples[1][1]:.0f} MiB at first, {samples[-1][1]:.0f} at last, {max(m for _, m in samples):.0f} at most;", end=" ")
    print(f"slope of the second half {slope:+.1f} MiB an hour")
    print(f"  CPU {cpu_s(daemon.process.pid) / seconds * 100:.0f} % of a core")
    report(daemon, truths)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", metavar="CLIP[=TRUTH.csv]")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backend", default="gstreamer")
    parser.add_argument("--soak", type=float)
    parser.add_argument("--port", type=int, default=8754)
    arguments = parser.parse_args()
    clips = [clip.partition("=") for clip in arguments.clips]
    truths = [truth_of(truth) if truth else None for _, _, truth in clips]
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM} is not there; run `make build` first")
    broker_port = arguments.port + 1
    urls = [f"rtsp://127.0.0.1:{arguments.port}/{i}" for i in range(len(clips))]
    mounts = [f"{i}={pathlib.Path(clip).resolve()}" for i, (clip, _, _) in enumerate(clips)]
    server = subprocess.Popen(["/usr/bin/python3", str(ROOT / "tests/rtsp/server.py"), "--port", str(arguments.port), *mounts], stdout=subprocess.PIPE, text=True)
    broker = subprocess.Popen(["mosquitto", "-p", str(broker_port)], stderr=subprocess.DEVNULL)
    try:
        if not server.stdout.readline().startswith("ready"):
            sys.exit("the RTSP server did not start")
        with tempfile.TemporaryDirectory() as work:
            if arguments.soak:
                daemon = Daemon(pathlib.Path(work), urls, broker_port, arguments.backend)
                soak(daemon, arguments.soak, truths)
                print(f"  stopped in {daemon.stop():.2f} s")
                return
            floors, spent = [], []
            for number in range(arguments.rounds):
                floors.append(floor(urls, arguments.seconds))
                daemon = Daemon(pathlib.Path(work), urls, broker_port, arguments.backend)
                spent.append(over([daemon.process], arguments.seconds))
                memory = resident_mib(daemon.process.pid)
                # The last vehicle's passage settles, its record is sent, health is told once more.
                time.sleep(11)
                took = daemon.stop()
                print(
                    f"round {number + 1}: decoding alone {floors[-1]:.2f} CPU s, the daemon {spent[-1]:.2f}: {spent[-1] / floors[-1]:.2f} times;"
                    f" {memory:.0f} MiB resident; stopped in {took:.2f} s"
                )
                report(daemon, truths)
            print(
                f"median of {arguments.rounds} rounds of {arguments.seconds:.0f} s: decoding alone {statistics.median(floors):.2f} CPU s,"
                f" the daemon {statistics.median(spent):.2f}, {statistics.median(s / f for s, f in zip(spent, floors)):.2f} times"
            )
    finally:
        end(server)
        end(broker)


if __name__ == "__main__":
    main()
