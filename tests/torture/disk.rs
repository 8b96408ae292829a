//! Disks that fill up, turn read-only, and rot.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::bench::{Bench, Confirm, Dice, View, text};
use crate::row::{full, skipped};

/// A file system of its own; unmounted when dropped.
struct Mount {
    at: PathBuf,
}

impl Mount {
    /// None without the right to mount.
    fn new(at: &Path, args: &[&str]) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        run("mount", &[args, &[text(at)]].concat()).then(|| Self { at: at.to_owned() })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run("umount", &["-l", text(&self.at)]);
    }
}

fn run(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|o| o.status.success())
}

#[test]
fn torture_07_disk_full() {
    if !full() {
        return;
    }
    let rounds = 8;
    let mut dice = Dice::new("disk full");
    let mut bench = Bench::new(Confirm::Broker);
    let proxy = bench.with_proxy();
    bench.state = bench.dir.path().join("small");
    let Some(mount) = Mount::new(&bench.state, &["-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs"]) else {
        return skipped("07 disk full", "no right to mount");
    };
    bench.start(View::Road);
    bench.wait_for_numbers(1);
    let ballast = bench.state.join("ballast");
    for round in 0..rounds {
        // Somebody else's file takes all that is left; every other time the broker is away too, so that nothing can go out.
        proxy.silent(round % 2 == 1);
        let mut file = std::fs::File::create(&ballast).unwrap();
        std::io::copy(&mut std::io::repeat(7), &mut file).expect_err("the disk to be full");
        drop(file);
        std::thread::sleep(dice.between(Duration::from_secs(1), Duration::from_secs(5)));
        std::fs::remove_file(&ballast).unwrap();
        proxy.silent(false);
        std::thread::sleep(dice.between(Duration::from_secs(2), Duration::from_secs(4)));
    }
    let log = std::fs::read_to_string(bench.dir.path().join("daemon.log")).unwrap();
    assert!(log.contains("disk is full"), "the disk was not full for the daemon: {log}");
    bench.finish("07 disk full", &format!("{rounds} x no byte left for 1 to 5 s"), "tmpfs of 24 MiB");
    bench.kill();
    drop(mount);
}

#[test]
fn torture_08_read_only() {
    if !full() {
        return;
    }
    let rounds = 4;
    let mut dice = Dice::new("read-only");
    let mut bench = Bench::new(Confirm::BackOffice);
    bench.state = bench.dir.path().join("disk");
    let image = bench.dir.path().join("disk.img");
    std::fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    let made = run("mkfs.ext4", &["-q", "-F", text(&image)]);
    let mount = || Mount::new(&bench.state, &["-o", "loop,errors=remount-ro", text(&image)]);
    let Some(mut mounted) = made.then(mount).flatten() else {
        return skipped("08 read-only", "no right to mount a loop device");
    };
    let state = bench.state.clone();
    let loop_device = || {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        let line = mounts.lines().find(|l| l.contains(text(&state))).unwrap().to_owned();
        line.split(' ').next().unwrap().trim_start_matches("/dev/").to_owned()
    };
    for _ in 0..rounds {
        bench.start(View::Road);
        let before = bench.outbox().1;
        bench.wait_for_numbers(before + 20);
        // As after an error of the device: ext4 takes no write any more, under open files.
        let trigger = PathBuf::from(format!("/sys/fs/ext4/{}/trigger_fs_error", loop_device()));
        std::fs::write(&trigger, "torture").unwrap();
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        assert!(
            mounts.lines().any(|l| l.contains(text(&bench.state)) && (l.contains(" ro,") || l.contains("emergency_ro"))),
            "{mounts}"
        );
        std::thread::sleep(dice.between(Duration::from_secs(1), Duration::from_secs(6)));
        bench.kill();
        drop(mounted);
        drop(Command::new("e2fsck").args(["-p", text(&image)]).output());
        let args = ["-o", "loop,errors=remount-ro", text(&image)];
        mounted = Mount::new(&bench.state, &args).expect("mounted again");
    }
    bench.finish("08 read-only", &format!("{rounds} x ext4 turned read-only, SIGKILL, e2fsck"), "loop device of 64 MiB");
    bench.kill();
    drop(mounted);
}

#[test]
fn torture_09_damaged_store() {
    let rounds = if full() { 12 } else { 2 };
    let mut dice = Dice::new("damaged store");
    let mut bench = Bench::new(Confirm::BackOffice);
    let mut torn = 0;
    for round in 0..rounds {
        // With the broker away rows pile up; with it there, much of what is lost has been delivered already.
        let away = dice.below(2) == 0;
        if away {
            bench.broker.kill();
        }
        bench.start(View::Road);
        let before = bench.outbox().1;
        bench.wait_for_numbers(before + 60);
        bench.kill();
        if round % 2 == 0 {
            let wal = bench.state.join("outbox.sqlite-wal");
            let length = std::fs::metadata(&wal).map_or(0, |m| m.len());
            if length > 0 {
                let file = std::fs::File::options().write(true).open(&wal).unwrap();
                file.set_len(length - dice.below(length.min(64 * 1024))).unwrap();
                torn += 1;
            }
        } else {
            // A clean stop first would bring all of it into the file; so does opening it.
            drop(kerbside::outbox::Outlet::open(&bench.state, None).unwrap());
            let store = bench.state.join("outbox.sqlite");
            let file = std::fs::File::options().read(true).write(true).open(&store).unwrap();
            let length = file.metadata().unwrap().len();
            for _ in 0..1 + dice.below(20) {
                let (at, mut byte) = (dice.below(length), [0]);
                file.read_exact_at(&mut byte, at).unwrap();
                file.write_all_at(&[byte[0] ^ (1 << dice.below(8))], at).unwrap();
            }
        }
        if away {
            bench.broker.restart();
        }
        bench.start(View::Road);
        bench.wait_for_numbers(bench.outbox().1 + 5);
    }
    let faults = format!("{torn} x torn WAL, {} x flipped bits in the store", rounds - torn);
    bench.finish("09 damaged store", &faults, "");
}
