//! Binary tensors: whatever the bytes are, they are elements of the datatype, each with as many bytes as it says, or refused.
//! The first byte of the input says which datatype.

#![no_main]

use gyre_wire::{Datatype, Elements};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 13] = [
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64",
    "BYTES",
];

fuzz_target!(|data: &[u8]| {
    let Some((choice, raw)) = data.split_first() else { return };
    let name = NAMES[usize::from(*choice) % NAMES.len()];
    let datatype = Datatype::named(name).expect("a datatype");
    let Ok(elements) = gyre_wire::read(datatype, raw) else { return };
    match datatype.size() {
        Some(size) => assert_eq!(elements.len() * size, raw.len(), "{name}"),
        None => assert!(elements.len() * 4 <= raw.len(), "{name}: each text has its length in front"),
    }
    if let Elements::Texts(texts) = &elements {
        let mut again = Vec::new();
        assert!(texts.iter().all(|text| gyre_wire::write_text(text, &mut again)));
        assert_eq!(again, raw, "what is read is written as it was");
    }
});
