//! The program: argv in, exit status out. Everything else is in the library.

use std::process::ExitCode;

/// What the C++ libraries read from the environment when they are first used, and must find before that.
const ENVIRONMENT: [(&str, &str); 2] = [
    // ONNX Runtime would otherwise keep a device id in the home folder and look up its maker's telemetry host.
    ("ORT_DISABLE_TELEMETRY", "1"),
    // Nothing here uses OpenCL; probing for it loads drivers.
    ("OPENCV_OPENCL_RUNTIME", "disabled"),
];

/// Heaps that glibc keeps for threads at most. By default it is eight a core, and each camera that is opened anew leaves its decoder's
/// memory in another one: with four cameras 372 MB after 840 reconnections and rising, against 266 MB and flat with two.
#[cfg(target_env = "gnu")]
const HEAPS: i32 = 2;

fn main() -> ExitCode {
    // JUSTIFICATION: the environment variable for it (MALLOC_ARENA_MAX) is read before main.
    // SAFETY: mallopt only writes a number of the allocator's; no other thread exists yet.
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code)]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, HEAPS);
    }
    for (name, value) in ENVIRONMENT {
        // JUSTIFICATION: a user who runs the bare binary has no unit or wrapper to set these for him.
        // SAFETY: first thing in main; no other thread exists that could read the environment meanwhile.
        #[allow(unsafe_code)]
        unsafe {
            std::env::set_var(name, value);
        }
    }
    kerbside::cli::main()
}
