//! Writes the seeds: what SeaBIOS, our option ROM, our firmware and Linux do with fw_cfg, the
//! script of our own tables, small kernels, command lines that people write, and small images.
//!
//! ```sh
//! cargo run --manifest-path tests/fuzz/Cargo.toml --target-dir target/fuzz --example seeds
//! ```

mod accesses;
mod ahci;
mod files;
mod headers;
mod images;
mod network;
mod qcow2;
mod virtio;
mod words;

use std::fs;
use std::io;
use std::path::Path;

/// Names and bytes.
type Seeds = Vec<(&'static str, Vec<u8>)>;

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for (target, seeds) in all()? {
        let folder = root.join(target);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        for (name, bytes) in seeds {
            fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}

/// The seeds of each target but `boot_config`, whose seeds are text. They are the same each time.
pub fn all() -> io::Result<Vec<(&'static str, Seeds)>> {
    Ok(vec![
        ("device", accesses::seeds()),
        ("loader_script", files::scripts()),
        ("kernel", files::kernels()),
        ("multiboot", headers::multiboot()),
        ("elf_notes", headers::notes()),
        ("pe_sections", headers::sections()),
        ("cmdline", words::seeds()),
        ("image", images::seeds()?),
        ("network", network::seeds()),
        ("qcow2", qcow2::seeds()?),
        ("virtio_disk", virtio::disks()),
        ("virtio_rings", virtio::rings()),
        ("ahci", ahci::seeds()),
    ])
}
