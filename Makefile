# Two commands on a fresh Debian 12 with a Rust toolchain, Python 3 with pip, and root or sudo:
#   make demo     sets everything up and shows the main job on an embedded broker
#   make test     sets everything up and runs every check
.PHONY: demo test torture rtsp setup setup-tests build accuracy bench fuzz clean

DATA := ../shared/data

demo: build
	target/release/kerbside demo

build: setup
	cargo build --release --locked

setup:
	@.ci/setup

setup-tests:
	@.ci/setup tests

test: setup-tests
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo test --locked --doc
	cargo nextest run --locked --profile ci
	@if [ -d $(DATA) ]; then $(MAKE) --no-print-directory accuracy; else echo "no $(DATA): the accuracy smoke check is left out"; fi

# Everything that goes wrong at the roadside, for at most half an hour; prints what was sent, received and lost. As root it also cuts
# wires between namespaces, fills disks and turns them read-only; without, those rows say that they were left out.
torture: setup-tests
	rm -rf target/torture
	KERBSIDE_TORTURE=full cargo test --release --locked --test torture -- --test-threads 1; status=$$?; cat target/torture/*.row; exit $$status

# Live cameras against a real RTSP server (GStreamer's), some minutes; the faults that it does not have are in make test.
rtsp:
	@.ci/setup rtsp
	cargo nextest run --release --locked --test rtsp --run-ignored all --no-capture

# Real photographs stay outside the project; where they are, the read rate must not fall below what was measured.
accuracy: build
	target/release/kerbside evaluate --truth $(DATA)/eval_uk_dev.csv $(DATA) --least-read-rate 0.92
	target/release/kerbside evaluate --truth $(DATA)/eval_eu/manifest.csv $(DATA)/eval_eu --least-read-rate 0.92
	target/release/kerbside evaluate --truth $(DATA)/ocr_manifest.csv $(DATA) --split dev --least-read-rate 0.95

# Criterion for the stages, whole processes for the commands; see benches/README.md.
bench: build
	cargo bench --locked
	python3 benches/whole_process.py

# Everything that parses bytes from outside, so many seconds a target; needs nightly Rust and `cargo install cargo-fuzz`.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS := csv voi ndjson manifest sealed_file delta

fuzz: setup
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p tests/fuzz/corpus/$$target; \
		cargo +nightly fuzz run --fuzz-dir tests/fuzz $$target tests/fuzz/corpus/$$target tests/fuzz/seeds/$$target \
			-- -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=10 || exit 1; \
	done

clean:
	cargo clean
	rm -rf demo-out
