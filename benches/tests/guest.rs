//! The guest of `bench-guest` runs in chukka and finds all pages of its initrd.

use chukka_benches::guest::{Before, Guest, MACHINES};
use chukka_benches::material::{self, Pages};
use chukka_tests::{binaries, native};

#[test]
fn it_moves_and_reads_every_page_in_chukka() {
    if !native::kvm() {
        return;
    }
    let (guest, chukka) = (Guest::new(), binaries::chukka().unwrap());
    let initrd = material::numbered_pages(1).unwrap();
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
    let initrd = material::numbered_pages(1).unwrap();
    let other = Pages { sum: initrd.sum ^ 1, ..initrd };
    let error = guest.run(&chukka, "microvm", &other, 1).unwrap_err().to_string();
    assert!(error.contains("the transfer has not moved them"), "{error}");
}

#[test]
fn an_initrd_that_is_no_whole_number_of_pages_is_an_error() {
    if !native::kvm() {
        return;
    }
    let (guest, chukka) = (Guest::new(), binaries::chukka().unwrap());
    let folder = native::Scratch::new();
    let initrd = Pages { path: folder.file("initrd", &[0; 5000]), mib: 0, sum: 0 };
    let error = guest.run(&chukka, "pc", &initrd, 1).unwrap_err().to_string();
    assert!(error.contains("the initrd is no whole number of pages"), "{error}");
}
