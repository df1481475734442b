//! The table as docs/performance.md shows it.

use chukka_benches::table::Table;

use crate::table::Values;

/// Everything between the marks of the page.
pub fn text(values: &Values) -> String {
    let number = |name: &str| values[name].parse::<u32>().unwrap();
    let text = |name: &str| values[name].trim_matches('"').to_owned();
    let headings = ["from exec to", "virtual ms", "VM exits", "MiB beyond the guest's"];
    let mut table = Table::new(headings);
    for (title, section) in [
        ("the kernel's entry: bzImage", "entry.bzimage"),
        ("the kernel's entry: vmlinux", "entry.vmlinux"),
        ("the kernel's entry: built-in firmware", "entry.builtin"),
        ("the kernel's entry: SeaBIOS, microvm", "entry.seabios-microvm"),
        ("the kernel's entry: SeaBIOS, pc", "entry.seabios-pc"),
        ("userspace: bzImage", "userspace.bzimage"),
        ("userspace: vmlinux by PVH", "userspace.vmlinux"),
    ] {
        let ms = f64::from(number(&format!("{section}.us"))) / 1000.0;
        let resident = values.get(&format!("{section}.resident"));
        let mib = |kib: &String| format!("{:.1}", f64::from(kib.parse::<u32>().unwrap()) / 1024.0);
        let mib = resident.map_or_else(|| "-".into(), mib);
        let exits = number(&format!("{section}.exits")).to_string();
        table.row([title.into(), format!("{ms:.1}"), exits, mib]);
    }
    let bytes = f64::from(number("binary.bytes")) / 1e6;
    format!(
        "{table}\nThe release binary is {bytes:.1} MB. Measured with Linux {},\n{} and {}.\n",
        text("environment.kernel"),
        text("environment.qemu"),
        text("environment.rustc"),
    )
}
