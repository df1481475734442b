//! An installation, in chukka and in QEMU. Prints figures; `--help` tells the rest.
#![expect(clippy::print_stdout, reason = "a command prints")]

use std::path::Path;
use std::process::ExitCode;

use chukka_benches::install::{Cost, Installation, Vmm};
use chukka_benches::table::Table;
use chukka_benches::words::{self, Words};
use chukka_benches::{Error, document, peer};
use chukka_tests::assets;

const HELP: &str = "\
usage: bench-install [--write] [--also CHUKKA]...

What a small installation over the guest's own network costs, in the lab, on a clock that counts instructions: in chukka and in
QEMU -M pc, with the same kernel, initrd, qcow2 disk and server. --write updates the table in docs/performance.md. --also CHUKKA
measures a second chukka binary for comparison.";

/// Words of a VMM with a card on a user network.
const CHUKKA: &str =
    "-nodefaults -nographic -serial stdio -no-reboot -m 256 -nic user,ipv6=off -M pc";
const QEMU: &str = "-accel kvm -nodefaults -no-user-config -display none -serial stdio -no-reboot -m 256 \
                    -global virtio-net-pci.romfile= -nic user,ipv6=off,model=virtio -M pc";

/// The aim, as a part of QEMU's instructions.
const AIM: f64 = 0.8;

fn main() -> ExitCode {
    words::run("bench-install", HELP, &["--write"], None, run)
}

fn run(words: &Words) -> Result<(), Error> {
    let chukka = peer::chukka()?.program;
    let vmm = |name: &str, program: &Path, words: &str| {
        let program = program.to_string_lossy().into_owned();
        let words = words.split_whitespace().map(String::from);
        Vmm { name: name.into(), words: [program].into_iter().chain(words).collect() }
    };
    let mut vmms = vec![vmm("QEMU pc", &peer::qemu_program()?, QEMU)];
    vmms.push(vmm("chukka pc", &chukka, CHUKKA));
    for path in &words.also {
        vmms.push(vmm(&path.to_string_lossy(), &std::path::absolute(path)?, CHUKKA));
    }
    let installation = Installation::make(&assets::cloud()?)?;
    let mut costs: Vec<Cost> = Vec::new();
    for vmm in &vmms {
        costs.push(installation.count(vmm, &chukka)?);
        eprintln!("{}", vmm.name);
    }
    let qemu = costs.first().copied().ok_or("no QEMU")?;
    let mut table = Table::new([
        "VMM",
        "instructions, exec to exit",
        "× QEMU's",
        "while it installs",
        "× QEMU's",
        "VM exits",
        "× QEMU's",
        "met",
    ]);
    for (vmm, cost) in vmms.iter().zip(&costs) {
        let million = |count: f64| format!("{:.0} million", count / 1e6);
        let times = |own: f64, peer: f64| format!("{:.2}", own / peer);
        let met = match vmm.name.starts_with("QEMU") {
            true => "",
            false if cost.whole <= AIM * qemu.whole => "met",
            false => "missed",
        };
        table.row([
            vmm.name.clone(),
            million(cost.whole),
            times(cost.whole, qemu.whole),
            million(cost.installing),
            times(cost.installing, qemu.installing),
            format!("{:.0}", cost.exits),
            times(cost.exits, qemu.exits),
            met.into(),
        ]);
    }
    let text = format!("{} MiB are installed.\n\n{table}", installation.size >> 20);
    println!("{text}");
    if words.has("--write") { document::write("install", &text) } else { Ok(()) }
}
