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

/// It is composed in this host's memory, which a sparse file would fill.
#[test]
fn an_initrd_that_is_too_long_is_refused_before_files_are_put_into_it() {
    let scratch = Scratch::new();
    let (initrd, file) = (scratch.file("initrd", b""), scratch.file("ks.cfg", b"text\n"));
    File::options().write(true).open(&initrd).unwrap().set_len(100 << 30).unwrap();
    let url = format!("file://{}", initrd.display());
    for place in [initrd.to_str().unwrap(), &url] {
        for option in ["-initrd-inject", "-preseed"] {
            let start = || {
                let start = kernel(&scratch, BzImage::default());
                start.args(["-m", "64M", "-initrd", place, option]).args([&file])
            };
            let composes = format!("Cannot put files into the initrd '{}'", initrd.display());
            for (limit, says, hint) in [
                ("1M", "bytes; the limit is 1048576", "-fetch limit=SIZE"),
                ("1T", "bytes, and the guest 67108864 bytes of memory", "-m SIZE"),
            ] {
                let start = start().args(["-fetch", &format!("limit={limit}")]);
                let refused = start.refused().says(&composes).says("it has 1073741826");
                refused.says(says).hints(hint);
            }
        }
    }
    // Nor are all its bytes read for a checksum.
    let sum = format!("initrd=sha256:{}", "0".repeat(64));
    let start = kernel(&scratch, BzImage::default()).args(["-m", "64M", "-checksum", &sum]);
    let start = start.args(["-initrd".as_ref(), initrd.as_path()]);
    start.refused().says("it has 107374182400 bytes, and the guest 67108864 bytes of memory");
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
