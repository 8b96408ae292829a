//! `kerbside hotlist`, the whole way with the real program: keys, lists out of every format, sealed, checked, shown, changed; and
//! everything that must be refused, with its words and its exit status.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::lists::Bench;
use crate::support::program;

const OLD: &str = "vrm,action,priority,reason,valid_until\nAB12CDE,stop,P0,stolen,2099-01-01\nAB12CDF,assess,P2,,2099-01-01\n";
const NEW: &str = "vrm,action,priority,reason,valid_until\nAB12CDE,stop,P1,stolen,2099-01-01\nAB12CDG,silent,P3,,2099-01-01\n";

#[test]
fn hotlists_are_made_sealed_and_checked() {
    let bench = Bench::new();
    assert_eq!((bench.mode("signing.pem"), bench.mode("box.txt"), bench.mode("public.pem")), (0o400, 0o400, 0o644));
    bench.refused(&["keygen", "identity", "-o", "box.txt"], 70, &["box.txt", "never overwritten"]);

    bench.write("old.in.csv", OLD);
    bench.write("new.in.csv", NEW);
    for name in ["old", "new"] {
        bench.good(&["build", &format!("{name}.in.csv"), "-o", &format!("{name}.csv"), "--source", "unit-7"]);
    }
    let said = bench.seal("old.csv", "41", "41.sealed", &[]);
    assert!(said.contains("list north version 41, 2 entries") && said.contains("full ("), "{said}");
    let said = bench.seal("new.csv", "42", "42.sealed", &["--base", "old.csv", "--base-sealed", "41.sealed"]);
    assert!(said.contains("step 41-42"), "{said}");
    bench.good(&["verify", "42.sealed", "--trust", "public.pem"]);
    let said = bench.good(&["verify", "42.sealed", "--trust", "public.pem", "--identity", "box.txt"]);
    assert!(said.contains("42.sealed: good: list north version 42") && said.contains("content decrypted and checked"), "{said}");

    let shown = bench.good(&["inspect", "42.sealed", "--trust", "public.pem"]);
    for word in
        ["version     42", "previous    41", "(checked)", "part        full: ", "part        step 41-42: ", &bench.recipient]
    {
        assert!(shown.contains(word), "{word:?} is missing from: {shown}");
    }
    let unchecked = bench.run(&["inspect", "42.sealed"]);
    assert!(unchecked.status.success() && program::stderr(&unchecked).contains("THE SIGNATURE WAS NOT CHECKED"));
    assert!(program::stdout(&unchecked).contains("(NOT CHECKED)"));
    // Nothing of the content is to be seen from outside.
    let sealed = bench.read("42.sealed");
    assert!(!sealed.windows(7).any(|w| w == b"AB12CDG"));
}

#[test]
fn hotlists_come_from_every_format_and_no_row_vanishes() {
    let bench = Bench::new();
    let voi = "VRM,Make,Model,Colour,Action,Warning markers,Reason,NIM (5x5x5) code,Information/Action,Force & area,Weed date,PNC ID,\
               GPMS marking,CAD information,Spare 1,Spare 2\n\
               AB12 CDE,Make,Model,Red,STOP,FI/VI,stolen,,,,31/12/2098,,,,,\n\
               AB12 CDF,,,,SILENT,,,,,,01/02/2020,,,,,\n\
               AB12-!,,,,SILENT,,,,,,01/02/2099,,,,,\n\
               AB12 CDE,,,,STOP,,again,,,,31/12/2098,,,,,\n\
               AB12 CDO,,,,ASSESS,,,,,,,,,,,\n\
               AB12 CD0,,,,ASSESS,,,,,,31/12/2098,,,,,\n";
    bench.write("list.dat", voi);
    let words = [
        "list.dat:3: expired",
        "list.dat:4: not_a_mark",
        "list.dat:5: duplicate: repeats line 2",
        "list.dat:6: no_weed_date",
        "list.dat:6: look_alike: AB12CDO looks like AB12CD0 of line 7",
        "6 rows read, 3 kept, 3 left out",
    ];
    let build = ["build", "list.dat", "-o", "list.csv", "--report", "faults.ndjson"];
    bench.refused(&build, 70, &words);
    bench.good(&[&build[..], &["--allow-faults"]].concat());
    let report = String::from_utf8(bench.read("faults.ndjson")).unwrap();
    let report: Vec<Value> = report.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(report.len(), 5);
    assert!(report[0]["line"] == 3 && report[0]["kind"] == "expired" && report[0]["left_out"] == true, "{}", report[0]);
    let list = String::from_utf8(bench.read("list.csv")).unwrap();
    assert!(list.contains("AB12CDE,stop,P1,stolen,,2098-12-31T00:00:00.000Z,FI VI,Make,Model,Red,"), "{list}");

    bench.write(
        "list.ndjson",
        "{\"vrm\":\"ab12 cde\",\"action\":\"stop\",\"priority\":\"P1\",\"markers\":[\"FI\"],\"valid_until\":\"2098-12-31\"}\n",
    );
    bench.good(&["build", "list.ndjson", "-o", "from_json.csv"]);
    assert!(String::from_utf8(bench.read("from_json.csv")).unwrap().contains("AB12CDE,stop,P1,,,2098-12-31T00:00:00.000Z,FI,"));
    bench.refused(
        &["build", "list.ndjson", "--format", "csv", "-o", "x.csv"],
        70,
        &["list.ndjson", "header", "help hotlist build"],
    );
    bench.refused(&["build", "none.csv", "-o", "x.csv"], 70, &["none.csv", "No such file", "check the path"]);
    bench.write("bad.csv", "vrm,action,priority\n-,stop,P0\n");
    bench.refused(&["build", "bad.csv", "-o", "x.csv"], 70, &["bad.csv:2: not_a_mark", "no list was written"]);
    assert!(!bench.at("x.csv").exists());
    // A list with a pattern is good on a box, and can't be sealed.
    bench.write("pattern.csv", "vrm,action,priority\nAB1? C*,stop,P0\n");
    bench.good(&["build", "pattern.csv", "-o", "local.csv"]);
    let seal =
        ["seal", "local.csv", "--list", "l", "--number", "1", "--key", "signing.pem", "--to", &bench.recipient, "-o", "x.sealed"];
    bench.refused(&seal, 70, &["local.csv", "1 pattern(s)"]);
    let help = program::run(bench.dir.path(), &["help", "hotlist", "build"]);
    assert!(program::stdout(&help).contains("--allow-faults") && program::stdout(&help).contains("Exit status"));
}

#[test]
fn hotlists_that_cannot_be_trusted_are_refused_with_the_reason() {
    let bench = Bench::new();
    bench.write("old.csv", OLD);
    bench.write("new.csv", NEW);
    bench.seal("old.csv", "1", "1.sealed", &[]);
    bench.seal("new.csv", "2", "good.sealed", &["--base", "old.csv", "--base-sealed", "1.sealed"]);
    let good = bench.read("good.sealed");
    let verify = ["verify", "bad.sealed", "--trust", "public.pem", "--identity", "box.txt"];
    let answer = |bytes: &[u8], words: &[&str]| {
        bench.write("bad.sealed", bytes);
        bench.refused(&verify, 70, &[&["bad.sealed"], words].concat());
        let shown = bench.run(&["inspect", "bad.sealed"]);
        assert!(matches!(shown.status.code(), Some(0 | 70)), "inspect ends in order");
    };
    let lines: Vec<usize> = good.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(n, _)| n + 1).take(3).collect();
    let [manifest, parts, payloads] = lines[..] else { panic!("three lines") };
    let flipped = |at: usize| {
        let mut bad = good.clone();
        bad[at] ^= 1;
        bad
    };
    let find = |what: &[u8]| good.windows(what.len()).position(|w| w == what).unwrap() + what.len();
    answer(&flipped(0), &["it is no sealed list"]);
    answer(&flipped(find(b"\"schema\":\"")), &["schema"]);
    answer(&flipped(find(b"\"key\":\"")), &["no"]);
    answer(&flipped(find(b"\"manifest\":\"") + 40), &["signature of the manifest is wrong"]);
    answer(&flipped(find(b"\"signature\":\"") + 3), &["signature of the manifest is wrong"]);
    answer(&flipped(parts + 12), &["parts"]);
    answer(&flipped(payloads), &["chunk 0 of its part \"full\" is damaged"]);
    answer(&flipped(good.len() - 1), &["chunk 0 of its part \"step 1-2\" is damaged"]);
    for cut in [0, 7, manifest + 9, parts + 3] {
        answer(&good[..cut], &["it"]);
    }
    answer(&good[..payloads], &["it is cut off", "copy it again"]);
    answer(&good[..good.len() - 1], &["it is cut off: 1 of", "copy it again"]);
    answer(&[&good[..], b"more"].concat(), &["4 bytes follow its end"]);
    // The parts in the other order, first by name, then by bytes.
    let names = String::from_utf8(good[parts..payloads].to_vec()).unwrap();
    let other = names.replace("\"full\",\"step 1-2\"", "\"step 1-2\",\"full\"");
    answer(&[&good[..parts], other.as_bytes(), &good[payloads..]].concat(), &["in this order", "put together wrongly"]);
    let shown = bench.good(&["inspect", "good.sealed"]);
    let full: usize = shown.split("full: ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let (a, b) = good[payloads..].split_at(full);
    // Encrypting pads at random: where both parts happen to be of one size, each chunk is known for the other part's.
    answer(&[&good[..payloads], b, a].concat(), &["copy or fetch it again"]);
    answer(&vec![0; 3 << 20], &["it is no sealed list"]);
    answer(b"kerbside-hotlist/1\n{}\n", &["no signed manifest"]);

    // 2 GiB of junk (sparse) is refused at its first line, and behind a good header by its length.
    let sparse = std::fs::File::create(bench.at("bad.sealed")).unwrap();
    sparse.set_len(2 << 30).unwrap();
    bench.refused(&verify, 70, &["it is no sealed list"]);
    std::os::unix::fs::FileExt::write_all_at(&sparse, &good, 0).unwrap();
    bench.refused(&verify, 70, &["bytes follow its end"]);

    // The right file, the wrong house.
    bench.good(&["keygen", "signing", "-o", "other.pem", "--public", "other_public.pem"]);
    bench.good(&["keygen", "identity", "-o", "other.txt"]);
    let verify = |more: &[&str], exit, words: &[&str]| bench.refused(&[&["verify", "good.sealed"], more].concat(), exit, words);
    verify(&["--trust", "other_public.pem"], 70, &["good.sealed", "is not trusted here", "trusted: "]);
    verify(&["--trust", "public.pem", "--identity", "other.txt"], 70, &["encrypted for other boxes", "age1"]);
    verify(&["--trust", "public.pem", "--as-of", "2098-01-01"], 70, &["north version 2 expired at", "get a newer one"]);
    verify(&["--trust", "public.pem", "--as-of", "2020-01-01"], 70, &["either this clock is wrong"]);
    verify(&["--trust", "box.txt"], 78, &["box.txt is no Ed25519 public key"]);
    verify(&["--trust", "public.pem", "--identity", "none.txt"], 78, &["none.txt", "No such file"]);
    std::fs::set_permissions(bench.at("box.txt"), std::fs::Permissions::from_mode(0o444)).unwrap();
    let said = verify(&["--trust", "public.pem", "--identity", "box.txt"], 78, &["box.txt", "chmod 0400", "0444"]);
    assert!(!said.contains("SECRET"));
    bench.refused(&["verify", "good.sealed"], 64, &["--trust"]);
}

#[test]
fn hotlists_are_sealed_on_their_own_base_only() {
    let bench = Bench::new();
    bench.write("old.csv", OLD);
    bench.write("new.csv", NEW);
    bench.seal("old.csv", "1", "1.sealed", &[]);
    let to = bench.recipient.clone();
    let seal = |list: &str, number: &str, base: &str, exit, words: &[&str]| {
        let args = ["seal", "new.csv", "--list", list, "--number", number, "--key", "signing.pem", "--to", &to, "-o", "x.sealed"];
        bench.refused(&[&args[..], &["--base", base, "--base-sealed", "1.sealed"]].concat(), exit, words);
        assert!(!bench.at("x.sealed").exists());
    };
    seal("north", "3", "old.csv", 70, &["the base is version 1, so the new one must be 2, not 3"]);
    seal("south", "2", "old.csv", 70, &["the list \"north\", not \"south\""]);
    seal("north", "2", "new.csv", 70, &["not those that version 1 was sealed from"]);
    seal("North", "2", "old.csv", 64, &["a-z, 0-9"]);
    let bad = ["seal", "bad.csv", "--list", "l", "--number", "1", "--key", "signing.pem", "--to", &to, "-o", "x.sealed"];
    bench.write("bad.csv", format!("{OLD}AB!,stop,P0,,\n"));
    bench.refused(&bad, 70, &["bad.csv:4: vrm \"AB!\" is no mark", "nothing was sealed"]);
    let stranger =
        ["seal", "old.csv", "--list", "l", "--number", "1", "--key", "signing.pem", "--to", "age1xyz", "-o", "x.sealed"];
    bench.refused(&stranger, 64, &["age1xyz", "no recipient"]);
}

#[test]
fn a_list_is_not_applied_in_the_folder_of_another_user() {
    use std::os::unix::fs::MetadataExt;
    let bench = Bench::new();
    let extra = "[hotlist]\nlists = ['north']\ntrust = ['public.pem']\nidentity = 'box.txt'";
    program::configuration(bench.dir.path(), 1, extra);
    bench.write("1.in.csv", "vrm,action,priority\nAB12CDE,stop,P0\n");
    bench.good(&["build", "1.in.csv", "-o", "1.csv"]);
    bench.seal("1.csv", "1", "1.sealed", &[]);
    std::fs::create_dir(bench.at("state")).unwrap();
    // Only root can give a folder away; for anybody else there is nothing to see here.
    if std::os::unix::fs::chown(bench.at("state"), Some(65534), None).is_err() {
        return;
    }
    assert_eq!(bench.at("state").metadata().unwrap().uid(), 65534);
    bench.refused(&["apply", "1.sealed", "--config", "kerbside.toml"], 70, &["belongs to the user 65534", "start the daemon"]);
    assert_eq!(std::fs::read_dir(bench.at("state")).unwrap().count(), 0, "nothing of ours is left there");
}
