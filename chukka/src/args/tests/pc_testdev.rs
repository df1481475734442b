//! What kvm-unit-tests pass: `-device pc-testdev` and the policy of the PIT.

use super::{Invocation, config, parse_words, refusal};
use vmm::config::LostTicks;

#[test]
fn the_test_device_is_there_on_request() {
    assert!(!config(&[]).pc_testdev);
    assert!(config(&["-device", "pc-testdev"]).pc_testdev);
    assert!(config(&["-device", "driver=pc-testdev,id=t"]).pc_testdev);
    assert_eq!(
        refusal(&["-device", "pc-testdev", "-device", "pc-testdev"]).0,
        "-device pc-testdev, given twice: expected one of them"
    );
    assert_eq!(
        refusal(&["-device", "pc-testdev,iobase=1"]).0,
        "-device iobase=1: expected pc-testdev alone"
    );
}

#[test]
fn the_last_policy_for_lost_ticks_counts() {
    let of = |words: &[&str]| config(words).lost_ticks;
    assert_eq!(of(&[]), LostTicks::Delay);
    let discard = "kvm-pit.lost_tick_policy=discard";
    assert_eq!(of(&["-global", discard]), LostTicks::Discard);
    let long = "driver=kvm-pit,property=lost_tick_policy,value=discard";
    assert_eq!(of(&["-global", long]), LostTicks::Discard);
    let delay = "kvm-pit.lost_tick_policy=delay";
    assert_eq!(of(&["-global", discard, "-global", delay]), LostTicks::Delay);
}

#[test]
fn other_policies_and_properties_are_refused_by_name() {
    for policy in ["slew", "merge", ""] {
        let given = format!("kvm-pit.lost_tick_policy={policy}");
        let (message, _) = refusal(&["-global", &given]);
        assert_eq!(message, format!("-global {given}: expected delay (default) or discard"));
    }
    for property in ["kvm-pit.iobase=1", "PIIX4_PM.disable_s3=1", "virtio-blk-pci.scsi=off"] {
        let (message, hint) = refusal(&["-global", property]);
        assert_eq!(message, format!("-global {property}: chukka does not have this property"));
        assert!(hint.contains("kvm-pit.lost_tick_policy=delay|discard"), "{hint}");
    }
}

/// `x86/run` of kvm-unit-tests greps for the name in quotes, libguestfs for `name "…"`.
#[test]
fn the_list_of_devices_quotes_their_names() {
    let Ok(Invocation::Print(list)) = parse_words(&["-device", "?"]) else { panic!() };
    for name in ["pc-testdev", "isa-debug-exit", "isa-debugcon", "vmcoreinfo", "virtio-blk"] {
        assert!(list.contains(&format!("\"{name}\"")), "{name}: {list}");
    }
    let lines = list.lines().filter(|line| !line.is_empty() && !line.ends_with("devices:"));
    assert!(lines.into_iter().all(|line| line.starts_with("name \"")), "{list}");
}
