//! # Kerbside: the architecture
//!
//! Kerbside is an edge ANPR daemon. A camera box at the roadside or in a vehicle runs it. Frames come in; two small ONNX
//! models find and read number plates; the reads of one vehicle become one capture record; each record is matched
//! against a hotlist that is held on the box; records and alerts go over MQTT to the back office, and nothing is lost on
//! the way.
//!
//! ## Bird's eye
//!
//! ```text
//! Frame -> Candidate -> PlatePatch -> PlateRead -> Passage => CaptureRecord + Hit -> Envelope -> (outbox) -> broker
//! [grab-, capture-<camera>][--------- reader-<n>: vision, then core --------][---- recorder ----][-- net --]
//! ```
//!
//! One typed step a stage. Each thread owns its state and waits in one place:
//!
//! | thread | waits on | sends | when the next stage is slow |
//! |---|---|---|---|
//! | main = supervisor | a tick, signals, commands | shutdown, health, answers | commands beyond 32 are passed over |
//! | `grab-<camera>` (live ones) | the camera: for ever, if that is what it comes to | decoded frames into its tray | loses them, counted; is left behind when it does not come back |
//! | `capture-<camera>` | its tray or clip, a tenth of a second | `Frame` into its slot, states | live: the oldest of three waiting frames goes, counted; lossless clip: waits |
//! | `reader-<n>` | its slots, a tick | outcomes | lets pictures go (counted), then keeps text, then waits |
//! | `recorder` | the outcome queue | commits | it alone waits for the disk |
//! | `hotlist` | manifests, chunks, a tick | lists in force, states, audit entries | chunks are asked for a few at a time; what finds no room is asked for again |
//! | `net` (tokio, current thread) | outbox wake, broker | publishes; what the broker has for us | the outbox grows to its cap |
//!
//! ## Codemap, in reading order
//!
//! | rank | room | what lives there |
//! |---|---|---|
//! | 0 | [`clock`] | moments on two clocks with their quality, simulated time, backoff |
//! | 0 | [`geometry`] | points, boxes, quadrilaterals, each in a space that is its type |
//! | 0 | [`ident`] | opaque names and frame numbers |
//! | 0 | [`keys`] | who signs, who is trusted, who can decrypt (it and `publish/sync` alone name `age`, it alone the signature's crate) |
//! | 1 | [`frame`] | pixels on loan from a pool, in one of two layouts (`colour`: what planes of luma and colour mean; `mask`: what nobody is to see, painted over before anything else has it) |
//! | 1 | [`anpr`] | the pure core: marks, formats, reads, decoding, passages (`motion`: where a plate will be; `likeness`: whether two reads show one mark; `fusion`: many reads made one; `memory`: vehicles that have their record), alerts; hotlists (`index`, `row`, `words`: a million entries in 54 MB; `match`, `fuzzy`, `pattern`: how a read matches and why; `delta`: one version to the next; `odds`: what else the eye could have seen; `validity`: what time it is for their dates); `core::Core::apply(event) -> effects` |
//! | 1 | [`outbox`] | the durable queue of opaque bytes, in lanes, numbered without gaps (`chain`: what proves an envelope's place; `cipher`: payloads at rest; `gap`: what will never arrive, and whether it was told; `age`: how long rows wait, by a clock that never steps; `salvage`, `migrate`: stores that are damaged or older) |
//! | 2 | [`vision`] | pixels to reads, from either layout as it lies; owns the models, one detector file for all its input sizes; looks at a region whole or in `tiles`, reads the plates of a frame together and measures how legible they are; passes over frames in which nothing moved; `onnx` alone names the runtime |
//! | 2 | [`camera`] | sources, and the thread that keeps one going (`capture`); `live`: cameras whose decoder may hang; `rtsp`: what a camera says of itself; `pipeline`: what OpenCV is told; `arrival`: when a frame was taken; `picture`: frozen, black, blown out; `slot`: which frames are read; `camera/opencv.rs` alone names videoio |
//! | 2 | [`publish`] | messages, topics, commands, MQTT (`publish/mqtt` alone names client and TLS; `link`: MQTT 5 or 3.1.1, `route`: which broker, `session`: one epoch); [`publish::receiver`]: the back office's end, which no box runs; [`publish::sync`]: hotlists built, signed, sealed, fetched, kept (`keeper`: what came and whether to believe it; `store`: at rest, encrypted) |
//! | 3 | [`config`] | the file as typed, and the settings that run |
//! | 4 | [`runtime`] | pipeline, reader, recorder, the hotlist thread and the board of lists in force, health with its latencies, supervisor |
//! | 5 | [`cli`] | one file or folder a subcommand; the only place that prints |
//!
//! `use crate::` points to a lower rank only. `tests/it/tidy.rs` holds this table, who may name which crate, and how long a
//! file may be.
//!
//! ## Invariants, most of them absences
//!
//! - The core has no I/O, no threads, no pixels, no serde, and never asks what time it is: `now` is an argument.
//! - The outbox has never heard of plates, vision of a hotlist, a camera of a detector.
//! - Only the net thread is async.
//! - A record that is visible on any interface is committed on disk first. An envelope leaves the outbox only on an
//!   acknowledgement that we matched to it, with a reason below 0x80; the MQTT client's own memory is never trusted.
//! - Work is lost in two places only, both counted and told: the frame slot, and the outbox at its caps of size and age, whose gaps are
//!   envelopes themselves. (Under a
//!   stalled disk pictures are let go first, counted too.)
//! - Grammar is a prior, never a filter: what the eye saw (`raw`), what grammar made of it (`vrm`) and which format decided
//!   (`syntax`) are all published; characters of another shape that only grammar decided are marked `repaired`.
//! - A list is in force only if a trusted key signed it (or a person put it on the box by hand), is whole on disk before it replaces
//!   another, and is swapped whole; entries are in plain in memory only; a reader never frees a list.
//! - A hit that is to be recorded only (`silent`) goes to the back office and to nobody near the vehicle: whatever shows alerts
//!   takes them from `Alert::for_display`.
//! - A number is given once. Whatever the disk loses, the number is declared missing and the next one is higher.
//! - No mark stands in a log line above `debug`, in a topic, or in a retained message.
//! - In steady state stages work in buffers of their own; what is allocated per frame are the handles of the ONNX and OpenCV
//!   wrappers (`tests/alloc` holds decoding, the motion gate, masks and the picture watch to none at all; the rest is not counted yet).
//! - `unsafe` is denied everywhere but in one function of `clock` (asking the kernel's clock discipline) and in `main`, which sets
//!   the environment that keeps ONNX Runtime's telemetry off before anything is loaded (the box phones nobody but its broker) and bounds
//!   the allocator's heaps.
//!
//! ## Words
//!
//! One word a concept. *Frame*, *candidate* (a place where a plate may be), *look* (one run of the detector over the region, or
//! over one of the *tiles* that it is cut into), *still* (of a frame: nothing moved in it since the last look, it is passed
//! over), *plate patch* (the rectified crop) and its *legibility* (sharpness and flare), *read* (glyph probabilities at every
//! position, never only a text), *mark* or VRM, *key* (a mark with look-alikes folded), *passage* (one vehicle going past one
//! camera, open), *capture record* (a passage, closed and read), *unread passage* (closed, not read, with its reason),
//! *evidence* (patch and overview of the very frame that was read best), *hotlist* and its *entry*, *hit*, *alert* (early,
//! confirmed, retracted; *late* when the entry came after the vehicle), *manifest* (what a list's owner signed), *sealed* (signed and
//! encrypted), *chunk*, *step* (a delta from one version to the next), *identity* (what opens sealed lists), *outbox*, *envelope*, *epoch* (one connection to the broker),
//! *mask* (what nobody is to see), *stream* (the sequence that numbers are of), *link* (the hash of an envelope and all before it), *chain*, *gap* (numbers that will never
//! arrive, with the reason), *watermark* (every number up to it is at the back office or declared missing), *receiver*, *command*, *answer*.
//!
//! ## Boundaries and failure
//!
//! Every boundary error answers one question: drop (a frame), retry (a camera, a broker, a disk), restart (exit 70: models that
//! fail 25 frames in a row, a thread that ended), or fix the installation (exit 78: configuration, models, outbox folder, before
//! any thread runs). A release build aborts on panic and the service manager starts it again: crash and power cut share one path.
//!
//! Not here yet, behind a boundary that stands: calibration.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod clock;
pub mod geometry;
pub mod ident;
pub mod keys;

pub mod anpr;
pub mod frame;
pub mod outbox;

pub mod camera;
pub mod publish;
pub mod vision;

pub mod config;
pub mod runtime;

pub mod cli;
