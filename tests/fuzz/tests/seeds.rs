//! The seeds run clean, are what they say, and are the same whenever they are written.

#[expect(dead_code, reason = "only the program itself has a main function")]
#[path = "../examples/seeds/main.rs"]
mod written;

use std::fs;
use std::path::{Path, PathBuf};

use arbitrary::{Arbitrary, Unstructured};
use chukka_fuzz::kernel::Reached;
use chukka_fuzz::{
    ahci, boot_config, cmdline, device, headers, image, kernel, loader_script, network, qcow2,
    virtio_disk, virtio_rings,
};

fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let seeds: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    assert!(!seeds.is_empty());
    seeds
}

#[test]
fn the_seeds_of_device_run() {
    for (path, bytes) in seeds("device") {
        let input = device::Input::arbitrary(&mut Unstructured::new(&bytes)).unwrap();
        assert!(!input.operations.is_empty(), "{}", path.display());
        assert_eq!(input.to_bytes(), bytes, "{}", path.display());
        device::run(&input);
    }
}

#[test]
fn the_seeds_of_ahci_run() {
    for (path, bytes) in seeds("ahci") {
        assert!(ahci::run(&bytes) >= 11, "{}", path.display());
    }
}

/// Inputs of any bytes: an operation is never invalid.
#[test]
fn random_operations_leave_a_sata_controller_that_works() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    for _ in 0..100 {
        let bytes: Vec<_> = (0..600).map(|_| next()).collect();
        assert_eq!(ahci::run(&bytes), 100);
    }
}

#[test]
fn the_seeds_of_loader_script_run() {
    for (path, bytes) in seeds("loader_script") {
        let input = loader_script::Input::arbitrary(&mut Unstructured::new(&bytes)).unwrap();
        assert!(!input.calls.is_empty(), "{}", path.display());
        assert_eq!(input.to_bytes(), bytes, "{}", path.display());
        loader_script::run(&input);
    }
}

#[test]
fn the_seeds_of_kernel_run() {
    let every = Reached { opened: true, loaded: true, published: true };
    for (path, bytes) in seeds("kernel") {
        let reached = kernel::run(&bytes);
        match path.file_name().unwrap().to_str().unwrap() {
            "bzimage" | "bzimage-low" | "bzimage-initrd-low" | "bzimage-old" | "elf-pvh" => {
                assert_eq!(reached, every);
            }
            "elf" | "elf-header" => assert_eq!(reached, Reached { published: false, ..every }),
            other => assert_eq!(reached, Reached::default(), "{other}"),
        }
    }
}

#[test]
fn the_seeds_of_headers_run() {
    let every = Reached { opened: true, loaded: true, published: true };
    type Target = fn(&[u8]) -> Reached;
    let targets: [(&str, Target); 3] = [
        ("multiboot", headers::multiboot),
        ("elf_notes", headers::notes),
        ("pe_sections", headers::sections),
    ];
    for (target, run) in targets {
        for (path, bytes) in seeds(target) {
            let reached = run(&bytes);
            match path.file_name().unwrap().to_str().unwrap() {
                // There is no option ROM for it.
                "multiboot2" => assert_eq!(reached, Reached { published: false, ..every }),
                other => assert_eq!(reached, every, "{other}"),
            }
        }
    }
}

#[test]
fn the_seeds_of_cmdline_run() {
    for (_, bytes) in seeds("cmdline") {
        cmdline::run(&bytes);
    }
}

#[test]
fn the_seeds_of_image_run() {
    for (path, bytes) in seeds("image") {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(image::run(&bytes), !name.starts_with("no-"), "{name}");
    }
}

#[test]
fn the_seeds_of_qcow2_run() {
    let every = qcow2::Reached { opened: true, whole: true };
    for (path, bytes) in seeds("qcow2") {
        assert_eq!(qcow2::run(&bytes), every, "{}", path.display());
    }
}

#[test]
fn the_seeds_of_virtio_disk_run() {
    for (path, bytes) in seeds("virtio_disk") {
        let input = virtio_disk::Input::arbitrary(&mut Unstructured::new(&bytes)).unwrap();
        assert_eq!(input.to_bytes(), bytes, "{}", path.display());
        let reached = virtio_disk::run(&input);
        let is_request = |operation: &&virtio_disk::Operation| {
            matches!(operation, virtio_disk::Operation::Request { .. })
        };
        let requests = input.operations.iter().filter(is_request).count();
        assert_eq!(reached.answers, requests, "{}", path.display());
        assert!(reached.fine > 0, "{}: {reached:?}", path.display());
    }
}

#[test]
fn the_seeds_of_virtio_rings_run() {
    for (path, bytes) in seeds("virtio_rings") {
        let input = virtio_rings::Input::arbitrary(&mut Unstructured::new(&bytes)).unwrap();
        assert_eq!(input.to_bytes(), bytes, "{}", path.display());
        let reached = virtio_rings::run(&input);
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(reached.answers > 0, "{name}");
        assert_eq!(reached.blocks > 0, name.starts_with("cd"), "{name}: {reached:?}");
    }
}

#[test]
fn the_seeds_of_boot_config_run() {
    for (path, bytes) in seeds("boot_config") {
        assert!(boot_config::run(&bytes), "{}", path.display());
    }
}

#[test]
fn the_seeds_of_network_run() {
    for (path, bytes) in seeds("network") {
        let reached = network::run(&bytes);
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(reached.answers > 0, "{name} is answered");
        assert_eq!(reached.delivered > 0, name.starts_with("tcp"), "{name}: {reached:?}");
    }
}

#[test]
fn the_seeds_are_written_with_the_same_bytes_each_time() {
    let [first, second] = [written::all(), written::all()].map(Result::unwrap);
    for ((target, seeds), (_, again)) in first.iter().zip(&second) {
        for ((name, bytes), (_, others)) in seeds.iter().zip(again) {
            let same = bytes.iter().zip(others).take_while(|(byte, other)| byte == other).count();
            assert!(bytes == others, "{target}/{name}: the first difference is byte {same:#x}");
        }
    }
}
