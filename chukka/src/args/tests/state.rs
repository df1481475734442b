//! `-state`.

use location::Place;

use super::{boot, message, whole};
use crate::request::{BootFiles, StateConfig};

#[test]
fn a_state_needs_no_kernel_and_may_have_a_disk() {
    let request = whole(&["-state", "a", "-state", "D", "-append", "quiet"]);
    let state = StateConfig { directory: "D".into(), append: b"quiet".to_vec() };
    assert_eq!((request.state, request.boot), (Some(state.clone()), None));
    let request = whole(&["-state", "D", "-append", "quiet", "-bootdisk", "/d", "-entry", "1"]);
    let BootFiles::Disk { place, .. } = &boot(&request).files else { panic!("{request:?}") };
    assert_eq!((place, &boot(&request).cmdline), (&Place::Local("/d".into()), &state.append));
    assert_eq!(request.state, Some(state));
}

#[test]
fn what_the_state_has_is_not_said_again() {
    for option in ["-location", "-kernel", "-initrd", "-preseed", "-checksum"] {
        let (text, hint) = message(&["-state", "D", option, "x"]);
        assert!(text.starts_with(&format!("-state with {option}: the state has ")), "{text}");
        assert!(hint.contains("chukka fetch --state DIR LOCATION"), "{hint}");
    }
    assert_eq!(message(&["-state", ""]).0, "-state was given an empty path");
}
