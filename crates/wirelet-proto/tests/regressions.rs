//! What once went wrong.

use testkit::trace::{Buffer, run};
use testkit::wire::{Frame, stream};
use wirelet_proto::{Config, Role};

/// Many messages in one read filled the buffer to its maximum, the last one cut off inside its header: nothing
/// was announced, so the buffer did not move the rest down, and a legal stream was failed with 1009.
#[test]
fn a_full_growable_buffer_makes_room_for_the_rest_of_a_header() {
    for max in [0, 1, 70, 1000] {
        for len in 0..8 {
            let frames = (0..1000).map(|i| Frame::binary([i as u8; 8].get(..len.min(max)).unwrap()));
            let wire = stream(Role::Client, frames);
            let config = Config::new();
            for sizes in [vec![usize::MAX], vec![1], vec![13, 200]] {
                let outcome = run(Role::Server, &config, Buffer::Growable(max), &wire, &sizes);
                assert_eq!(outcome.seen.len(), 1000, "{max} {len} {sizes:?} {:?}", outcome.end);
            }
        }
    }
}
