#![no_main]
libfuzzer_sys::fuzz_target!(|input: &str| aidp_fuzz::manifest(input));
