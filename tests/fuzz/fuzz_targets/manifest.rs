//! Signed manifests: the wire form, and the rules for what is inside it.

#![no_main]

use kerbside::keys::TrustedKeys;
use kerbside::publish::sync::manifest::SignedManifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    assert!(SignedManifest::verify(bytes, &TrustedKeys::default()).is_err(), "nobody is trusted");
    if let Ok(read) = SignedManifest::unverified(bytes) {
        assert!(read.manifest().parts().all(|(_, payload)| payload.bytes > 0));
        assert_eq!(SignedManifest::unverified(read.bytes()).as_ref(), Ok(&read));
    }
});
