//! Selects the host's files that the outer machine needs, under the same names: a program with its
//! libraries, QEMU with its firmware.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Doing, Result};

/// Where Debian and Ubuntu install the files that QEMU loads into its machines.
const QEMU_FILES: [(&str, &[&str]); 3] = [
    ("/usr/share/seabios", &["bios", "vgabios-stdvga"]),
    (
        "/usr/share/qemu",
        &["bios", "qboot", "kvmvapic", "linuxboot", "multiboot", "pvh", "efi-e1000"],
    ),
    ("/usr/lib/ipxe/qemu", &["efi-e1000.rom", "pxe-e1000.rom"]),
];

/// All files that are needed to use `path`: the file itself, and what a program needs to start.
///
/// # Errors
/// If one cannot be read.
pub fn closure(path: &Path) -> Result<BTreeSet<PathBuf>> {
    let path = std::path::absolute(path).doing_with("Finding", path)?;
    let mut files = BTreeSet::new();
    if is_program(&path)? {
        files.extend(libraries(&path)?);
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        if name.is_some_and(|name| name.starts_with("qemu-system-")) {
            files.extend(qemu_files());
        }
    }
    files.insert(path);
    Ok(files)
}

/// The files named in a shell command line, relative to a directory.
#[must_use]
pub fn files_in_line(line: &str, folder: &Path) -> Vec<PathBuf> {
    let words = line.split(|c: char| c.is_whitespace() || "'\"`;|&()<>$".contains(c));
    let files: BTreeSet<_> = words.flat_map(|word| files_in_word(word, folder)).collect();
    files.into_iter().collect()
}

/// The files named in a word of a command, including in a part of an option: `file:log`,
/// `path=disk,ro`.
#[must_use]
pub fn files_in_word(word: &str, folder: &Path) -> Vec<PathBuf> {
    let parts = word.split([',', '=']).chain([word]);
    let parts = parts.flat_map(|part| [part, part.rsplit(':').next().unwrap_or_default()]);
    let paths = parts.filter(|part| !part.is_empty()).map(|part| folder.join(part));
    // Virtual files exist in the machine already, with other content.
    let made_up =
        |path: &PathBuf| ["/proc", "/sys", "/dev"].iter().any(|top| path.starts_with(top));
    paths.filter(|path| path.is_file() && !made_up(path)).collect()
}

/// The first program of this name in `PATH`.
#[must_use]
pub fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn is_program(path: &Path) -> Result<bool> {
    let mut file = fs::File::open(path).doing_with("Opening", path)?;
    let mode = file.metadata().doing_with("Looking at", path)?.permissions().mode();
    let mut magic = Vec::new();
    file.by_ref().take(4).read_to_end(&mut magic).doing_with("Reading", path)?;
    Ok(mode & 0o111 != 0 && magic == b"\x7fELF")
}

fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    // ldd fails for a static program, which has no libraries.
    let output =
        Command::new("ldd").arg(program).output().doing_with("Starting ldd for", program)?;
    Ok(paths_of_ldd(&String::from_utf8_lossy(&output.stdout)))
}

/// Lines are `name => path (address)` or `path (address)`; the kernel's own library has no path.
fn paths_of_ldd(output: &str) -> Vec<PathBuf> {
    let words = output.lines().flat_map(str::split_whitespace);
    words
        .filter(|word| word.starts_with('/'))
        .map(|word| word.trim_end_matches(':').into())
        .collect()
}

fn qemu_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for (folder, names) in QEMU_FILES {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if names.iter().any(|start| name.starts_with(start)) && entry.path().is_file() {
                files.push(entry.path());
            }
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_name_files_are_found_wherever_they_stand() {
        let folder = std::env::temp_dir().join(format!("chukka-pack-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for name in ["kernel", "disk.img", "log", "quoted"] {
            fs::write(folder.join(name), "x").unwrap();
        }

        let command = "chukka -kernel ./kernel -serial file:log -drive path=disk.img,ro -append 'quoted quiet' -m 256";
        let files = files_in_line(command, &folder);

        let names: Vec<_> =
            files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["disk.img", "kernel", "log", "quoted"]);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn libraries_are_read_from_ldd() {
        let output = "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/libc.so.6 (0x2)\n\t/lib64/ld-linux-x86-64.so.2 (0x3)\n";
        let paths = paths_of_ldd(output);
        assert_eq!(paths, [PathBuf::from("/lib/libc.so.6"), "/lib64/ld-linux-x86-64.so.2".into()]);
        assert!(paths_of_ldd("\tnot a dynamic executable\n").is_empty());
    }
}
