//! Any bytes as TCP options; what was understood survives writing and reading.
#![no_main]

use glasstcp::wire::option;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(options) = option::parse(data) else { return };
    let mut buffer = [0xEE; option::MAX_LEN];
    let len = option::emit(&options, &mut buffer);
    assert_eq!(len, option::emitted_len(&options));
    assert!(len % 4 == 0 && len <= option::MAX_LEN);
    let again = option::parse(&buffer[..len]).expect("what is written can be read");
    assert_eq!((again.mss, again.window_scale, again.timestamp), (options.mss, options.window_scale, options.timestamp));
    assert_eq!(again.sack_permitted, options.sack_permitted);
    assert!(again.sack.iter().eq(options.sack.iter().take(again.sack.len())), "the first blocks are kept");
});
