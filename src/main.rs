//! The program: argv in, exit status out. Everything else is in the library.

use std::process::ExitCode;

/// What the C++ libraries read from the environment when they are first used, and must find before that.
const ENVIRONMENT: [(&str, &str); 2] = [
    // ONNX Runtime would otherwise keep a device id in the home folder and look up its maker's telemetry host.
    ("ORT_DISABLE_TELEMETRY", "1"),
    // Nothing here uses OpenCL; probing for it loads drivers.
    ("OPENCV_OPENCL_RUNTIME", "disabled"),
];

fn main() -> ExitCode {
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
