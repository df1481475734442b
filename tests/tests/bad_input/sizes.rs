//! What does not fit.

use std::fs::{self, File};

use chukka_tests::native::image::BzImage;
use chukka_tests::native::{self, Scratch, Start};

fn kernel(scratch: &Scratch, image: BzImage) -> Start {
    Start::kernel(&scratch.file("kernel", &image.file()))
}

#[test]
fn a_kernel_that_needs_more_than_dash_m_reports_how_much() {
    let scratch = Scratch::new();
    let big = BzImage { init_size: 100 << 20, ..BzImage::default() };
    kernel(&scratch, big)
        .args(["-m", "64M"])
        .refused()
        .says(&format!("The kernel '{}' needs 116 MiB", scratch.path("kernel").display()))
        .says("the guest has 64 MiB")
        .hints("-m 116M or more");
    let huge = BzImage { init_size: u32::MAX, ..BzImage::default() };
    kernel(&scratch, huge).args(["-m", "8G"]).refused().hints("must fit below 3 GiB");
    kernel(&scratch, BzImage::default()).args(["-m", "1M"]).refused().hints("-m 24M or more");
}

#[test]
fn an_initrd_that_does_not_fit_beside_the_kernel_reports_the_memory_needed() {
    let scratch = Scratch::new();
    let initrd = scratch.file("initrd", b"");
    File::options().write(true).open(&initrd).unwrap().set_len(50 << 20).unwrap();
    let start = |image| kernel(&scratch, image).args(["-initrd".as_ref(), initrd.as_path()]);
    start(BzImage::default())
        .args(["-m", "64M"])
        .refused()
        .says(&format!("The initrd '{}' (50 MiB) does not fit", initrd.display()))
        .says("between the kernel's end at 0x1800000 and 0x4000000 there are 40 MiB")
        .hints("-m 75M or more");
    let low = BzImage { xloadflags: 1, initrd_addr_max: 0x2ff_ffff, ..BzImage::default() };
    start(low)
        .args(["-m", "2G"])
        .refused()
        .says("between the kernel's end at 0x1800000 and 0x3000000 there are 24 MiB")
        .hints("make the initrd smaller");
}

#[test]
fn a_command_line_beyond_the_kernel_s_limit_reports_both_lengths() {
    let scratch = Scratch::new();
    let short = BzImage { cmdline_size: 100, ..BzImage::default() };
    kernel(&scratch, short)
        .args(["-append", &"x".repeat(101)])
        .refused()
        .says("The kernel command line has 101 bytes; the kernel '")
        .says("accepts at most 100")
        .hints("shorten -append");
    let endless = BzImage { cmdline_size: u32::MAX, ..BzImage::default() };
    kernel(&scratch, endless)
        .args(["-append", &"x".repeat(100_000)])
        .refused()
        .says("has 100000 bytes; ")
        .says("accepts at most 65535");
}

#[test]
fn a_guest_without_memory_is_refused() {
    let scratch = Scratch::new();
    for size in ["0", "0M", "1K"] {
        kernel(&scratch, BzImage::default())
            .args(["-m", size])
            .refused()
            .says(&format!("-m {size}: expected at least 1M"));
    }
}

#[test]
fn a_guest_with_more_memory_than_the_host_is_told_what_the_host_has() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let sizes = fs::read_to_string("/proc/meminfo").unwrap();
    let kib = |name: &str| -> u64 {
        let line = sizes.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let host = (kib("MemTotal:") + kib("SwapTotal:")) >> 10;
    for mib in [host + 1024, 1 << 40, (1 << 44) - 1] {
        kernel(&scratch, BzImage::default())
            .args(["-m", &format!("{mib}M")])
            .refused()
            .says(" of guest memory requested")
            .says("the host has ")
            .hints("give the guest less: -m ");
    }
}

#[test]
fn a_number_of_cpus_outside_1_to_64_is_refused() {
    let scratch = Scratch::new();
    for cpus in ["0", "65", "1000000"] {
        kernel(&scratch, BzImage::default())
            .args(["-smp", cpus])
            .refused()
            .says(&format!("-smp {cpus}: expected "))
            .says("1 to 64 CPUs");
    }
}
