use super::*;

#[test]
fn a_state_is_at_most_128_bytes() {
    assert!(size_of::<State>() <= 128, "{}", size_of::<State>());
}
