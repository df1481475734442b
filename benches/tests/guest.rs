//! The guest of `bench-guest` runs in chukka and finds all pages of its initrd.

use chukka_benches::guest::{Before, Guest, MACHINES};
use chukka_benches::material::{self, Cached, Pages};
use chukka_tests::{binaries, native};

#[test]
fn it_moves_and_reads_every_page_in_chukka() {
    if !native::kvm() {
        return;
    }
    let (guest, chukka) = (Guest::new(), binaries::chukka().unwrap());
    let initrd = material::numbered_pages(1, Cached::Huge).unwrap();
    for machine in MACHINES {
        let run = guest.run(&chukka, machine, &initrd, 5).unwrap();
        let before: Vec<Before> = run.rounds.iter().map(|round| round.before).collect();
        let expected =
            [Before::Untouched, Before::Read, Before::Written, Before::Read, Before::Written];
        assert_eq!(before, expected, "{machine}");
        for round in run.rounds {
            let times = [round.empty, round.transfer, round.read, round.again];
            assert!(times.iter().all(|cycles| *cycles > 0), "{machine}: {round:?}");
        }
    }
}

#[test]
fn other_pages_than_expected_are_an_error() {
    if !native::kvm() {
        return;
    }
    let (guest, chukka) = (Guest::new(), binaries::chukka().unwrap());
    let initrd = material::numbered_pages(1, Cached::Small).unwrap();
    let other = Pages { sum: initrd.sum ^ 1, ..initrd };
    let error = guest.run(&chukka, "microvm", &other, 1).unwrap_err().to_string();
    assert!(error.contains("the transfer has not moved them"), "{error}");
}

#[test]
fn an_initrd_with_a_partial_page_is_an_error() {
    if !native::kvm() {
        return;
    }
    let (guest, chukka) = (Guest::new(), binaries::chukka().unwrap());
    let folder = native::Scratch::new();
    let initrd =
        Pages { path: folder.file("initrd", &[0; 5000]), mib: 0, cached: Cached::Small, sum: 0 };
    let error = guest.run(&chukka, "pc", &initrd, 1).unwrap_err().to_string();
    assert!(error.contains("the initrd is not a whole number of pages"), "{error}");
}
