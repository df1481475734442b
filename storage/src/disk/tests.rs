use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::MetadataExt;

use super::*;
use crate::testing::Temp;

/// A directory with one image of these bytes.
fn image(bytes: &[u8]) -> (Temp, PathBuf) {
    let temp = Temp::new();
    temp.file("disk", bytes);
    let path = temp.path().join("disk");
    (temp, path)
}

fn open_with(path: &Path, change: impl FnOnce(&mut DiskOptions)) -> Result<Disk, DiskError> {
    let mut options = DiskOptions::default();
    change(&mut options);
    Disk::open(path, options)
}

fn open(path: &Path) -> Disk {
    open_with(path, |_| {}).unwrap()
}

fn read_only(path: &Path) -> Result<Disk, DiskError> {
    open_with(path, |options| options.read_only = true)
}

fn read(disk: &Disk, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0xee; len];
    let (first, second) = bytes.split_at_mut(len / 3);
    disk.read(&[VolatileSlice::from(first), VolatileSlice::from(second)], offset)?;
    Ok(bytes)
}

fn write(disk: &Disk, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let mut bytes = bytes.to_vec();
    let at = bytes.len() / 3;
    let (first, second) = bytes.split_at_mut(at);
    disk.write(&[VolatileSlice::from(first), VolatileSlice::from(second)], offset)
}

#[test]
fn reads_and_writes_in_place() {
    let (_temp, path) = image(&[[1; 512], [2; 512], [3; 512]].concat());
    let disk = open(&path);
    assert_eq!(disk.len(), 1536);
    assert_eq!(read(&disk, 512, 1024).unwrap(), [[2; 512], [3; 512]].concat());
    write(&disk, 512, &[7; 512]).unwrap();
    write(&disk, 0, &[8; 512]).unwrap();
    disk.flush().unwrap();
    assert_eq!(fs::read(&path).unwrap(), [[8; 512], [7; 512], [3; 512]].concat());
}

#[test]
fn any_number_of_buffers_is_transferred() {
    let (_temp, path) = image(&[0; 4096]);
    let disk = open(&path);
    let mut bytes: Vec<u8> = (0..4096).map(|n| u8::try_from(n % 251).unwrap()).collect();
    // More than the kernel takes at once, and empty ones among them.
    let slices: Vec<_> = bytes.chunks_mut(2).map(VolatileSlice::from).collect();
    let empty = slices[0].subslice(0, 0).unwrap();
    let with_empty: Vec<_> = slices.iter().flat_map(|slice| [empty, *slice]).collect();
    disk.write(&with_empty, 0).unwrap();
    let mut back = vec![0; 4096];
    let slices: Vec<_> = back.chunks_mut(3).map(VolatileSlice::from).collect();
    disk.read(&slices, 0).unwrap();
    drop(slices);
    assert_eq!(back, bytes);
}

#[test]
fn what_is_not_a_disk_is_refused() {
    let temp = Temp::new();
    temp.file("empty", b"");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        temp.path().join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let message = |name: &str, read_only| {
        let path = temp.path().join(name);
        let error = open_with(&path, |options| options.read_only = read_only).unwrap_err();
        let text = error.to_string().replace(path.to_str().unwrap(), "PATH");
        (text, error.hint().map(|hint| hint.replace(path.to_str().unwrap(), "PATH")))
    };
    let (text, hint) = message("missing", false);
    assert_eq!(text, "Cannot open the disk PATH");
    assert_eq!(
        hint.unwrap(),
        "to create it: chukka disk create PATH 20G, or -drive file=PATH,if=virtio,size=20G"
    );
    assert_eq!(message("empty", true).0, "The disk PATH is empty");
    assert_eq!(message(".", true).0, "The disk PATH is a directory");
    assert_eq!(message(".", false).0, "The disk PATH is a directory");
    assert_eq!(message("fifo", true).0, "The disk PATH is not a file or block device");
    let error = Disk::open(Path::new("/dev/zero"), DiskOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "The disk /dev/zero is not a file or block device");
}

#[test]
fn a_part_of_a_sector_is_refused_for_writing_and_filled_up_for_reading() {
    let (_temp, path) = image(&[5; 700]);
    let error = open_with(&path, |_| {}).unwrap_err();
    assert!(error.to_string().ends_with(" has 700 bytes, which is not a multiple of 512"));
    assert!(error.hint().unwrap().contains("truncate -s %512 "));
    let disk = read_only(&path).unwrap();
    assert_eq!(disk.len(), 1024);
    let expected = [&[5; 188][..], &[0; 324]].concat();
    assert_eq!(read(&disk, 512, 512).unwrap(), expected);
    assert_eq!(read(&disk, 0, 1024).unwrap(), [&[5; 512][..], &expected].concat());
}

#[test]
fn an_image_that_shrinks_gives_errors_and_stays_short() {
    let (_temp, path) = image(&[5; 4096]);
    let disk = open(&path);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(1024).unwrap();
    assert_eq!(read(&disk, 0, 1024).unwrap(), [5; 1024]);
    for error in [
        read(&disk, 512, 1024).unwrap_err(),
        read(&disk, 2048, 512).unwrap_err(),
        write(&disk, 2048, &[1; 512]).unwrap_err(),
        write(&disk, 512, &[1; 512]).unwrap_err(),
        disk.write_zeroes(2048..4096, false).unwrap_err(),
    ] {
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
    assert_eq!(fs::metadata(&path).unwrap().len(), 1024);
}

#[test]
fn there_is_one_writer_or_any_number_of_readers() {
    let (_temp, path) = image(&[0; 512]);
    let writer = open(&path);
    for refused in [read_only(&path), open_with(&path, |_| {})] {
        let error = refused.unwrap_err();
        assert!(matches!(error, DiskError::InUse { .. }), "{error}");
    }
    drop(writer);
    let readers = [read_only(&path).unwrap(), read_only(&path).unwrap()];
    assert!(matches!(open_with(&path, |_| {}), Err(DiskError::InUse { read_only: false, .. })));
    drop(readers);
    open(&path);
}

#[test]
fn the_locks_end_with_the_disk_though_a_child_still_has_its_descriptor() {
    let (_temp, path) = image(&[0; 512]);
    let writer = open(&path);
    // As a child has it between fork(2) and exec(2).
    let _inherited = writer.lock.as_ref().unwrap().0.try_clone().unwrap();
    let refused = read_only(&path).unwrap_err();
    assert!(matches!(refused, DiskError::InUse { .. }), "{refused}");
    drop(writer);
    open(&path);
}

#[test]
fn the_locks_are_the_bytes_that_qemu_takes() {
    let (_temp, path) = image(&[0; 512]);
    let other = File::open(&path).unwrap();
    let taken = || {
        let bytes = (0..300).filter(|byte| sys::is_locked_by_other(&other, *byte).unwrap());
        bytes.collect::<Vec<_>>()
    };
    let writer = open(&path);
    assert_eq!(taken(), [100, 101, 201]);
    drop(writer);
    let reader = read_only(&path).unwrap();
    assert_eq!(taken(), [100, 201]);
    drop(reader);
    assert!(taken().is_empty());
}

#[test]
fn images_of_other_formats_are_refused_unless_they_are_called_raw() {
    let (_temp, path) = image(&[&b"KDMV"[..], &[0; 600]].concat());
    let error = open_with(&path, |_| {}).unwrap_err();
    let text = error.to_string();
    assert!(text.ends_with(" is a VMDK image, expected a raw or qcow2 image"), "{error}");
    assert!(error.hint().unwrap().contains("qemu-img convert -O qcow2"));
    let qcow2 = open_with(&path, |options| options.format = Some(DiskFormat::Qcow2));
    assert!(qcow2.unwrap_err().to_string().ends_with(" is not a qcow2 image"));
    File::options().write(true).open(&path).unwrap().set_len(512).unwrap();
    open_with(&path, |options| options.format = Some(DiskFormat::Raw)).unwrap();
}

#[test]
fn a_guest_cannot_make_an_image_of_another_format() {
    let (_temp, path) = image(&[7; 2048]);
    let qcow2 = [&b"QFI\xfb"[..], &[1; 1532]].concat();
    let disk = open(&path);
    let error = write(&disk, 0, &qcow2).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    assert_eq!(fs::read(&path).unwrap(), [7; 2048]);
    // Anywhere else it is data, and other data goes anywhere.
    write(&disk, 512, &qcow2).unwrap();
    write(&disk, 0, &[9; 1536]).unwrap();
    assert_eq!(read(&disk, 0, 1536).unwrap(), [9; 1536]);
    write(&disk, 0, &[]).unwrap();
    drop(disk);
    let disk = open_with(&path, |options| options.format = Some(DiskFormat::Raw)).unwrap();
    write(&disk, 0, &qcow2).unwrap();
    assert_eq!(fs::read(&path).unwrap()[..1536], qcow2);
}

#[test]
fn zeros_are_written_and_space_is_given_back_only_when_asked() {
    let (_temp, path) = image(&vec![5; 1 << 20]);
    let blocks = || fs::metadata(&path).unwrap().blocks();
    let before = blocks();
    let disk = open(&path);
    disk.discard(0..1 << 19).unwrap();
    disk.write_zeroes(4096..8192, true).unwrap();
    assert_eq!(read(&disk, 0, 12288).unwrap(), [[5; 4096], [0; 4096], [5; 4096]].concat());
    assert_eq!(blocks(), before);
    disk.write_zeroes(0..0, true).unwrap();
    disk.discard(0..0).unwrap();
    drop(disk);
    let disk = open_with(&path, |options| options.unmap = true).unwrap();
    disk.discard(0..1 << 19).unwrap();
    disk.write_zeroes(1 << 19..3 << 18, true).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 1 << 20);
    assert_eq!(read(&disk, 1 << 19, 1 << 18).unwrap(), vec![0; 1 << 18]);
    assert_eq!(read(&disk, 3 << 18, 1 << 18).unwrap(), vec![5; 1 << 18]);
    // tmpfs and all file systems of disks can punch holes.
    assert!(blocks() <= before / 2, "{} of {before}", blocks());
}

#[test]
fn a_snapshot_leaves_the_image_as_it_is() {
    let (_temp, path) = image(&[5; 2148]);
    let disk = open_with(&path, |options| options.snapshot = true).unwrap();
    let other = read_only(&path).unwrap();
    assert_eq!(disk.len(), 2560);
    write(&disk, 512, &[7; 512]).unwrap();
    write(&disk, 0, &[&b"QFI\xfb"[..], &[6; 508]].concat()).unwrap();
    disk.write_zeroes(1536..2048, true).unwrap();
    disk.discard(0..2048).unwrap();
    disk.flush().unwrap();
    let tail = [&[5; 100][..], &[0; 412]].concat();
    let head = [&b"QFI\xfb"[..], &[6; 508]].concat();
    let expected = [&head[..], &[7; 512], &[5; 512], &[0; 512], &tail].concat();
    assert_eq!(read(&disk, 0, 2560).unwrap(), expected);
    assert_eq!(read(&disk, 1024, 1024).unwrap(), expected[1024..2048]);
    assert_eq!(read(&other, 0, 2048).unwrap(), [5; 2048]);
    drop(disk);
    assert_eq!(fs::read(&path).unwrap(), [5; 2148]);
}

/// A guest decides how many buffers a request has, and where an overlay has sectors.
#[test]
fn a_request_in_many_places_visits_each_buffer_once() {
    const SECTORS: usize = 1024;
    let (_temp, path) = image(&[5; SECTORS * SECTOR_BYTES]);
    let disk = open_with(&path, |options| options.snapshot = true).unwrap();
    for sector in (0..SECTORS as u64).step_by(2) {
        write(&disk, sector * SECTOR, &[7; SECTOR_BYTES]).unwrap();
    }
    let mut bytes = vec![0; SECTORS * SECTOR_BYTES];
    // No multiple of a sector, so that buffers are divided.
    let slices: Vec<_> = bytes.chunks_mut(192).map(VolatileSlice::from).collect();
    let visited = buffers::counting::visited(|| disk.read(&slices, 0).unwrap());
    assert!(visited <= slices.len() + SECTORS, "{visited} of {}", slices.len());
    drop(slices);
    assert!(bytes == [[7; SECTOR_BYTES], [5; SECTOR_BYTES]].concat().repeat(SECTORS / 2));
}

#[test]
fn cache_modes_are_those_of_qemu() {
    let shown = |name| CacheMode::by_name(name).map(CacheMode::has_write_cache);
    for (name, write_cache) in [
        ("writeback", true),
        ("none", true),
        ("unsafe", true),
        ("writethrough", false),
        ("directsync", false),
    ] {
        assert_eq!(shown(name), Some(write_cache), "{name}");
    }
    assert_eq!(shown("write-back"), None);
}

#[test]
fn direct_io_takes_any_buffer() {
    let (_temp, path) = image(&[5; 8192]);
    let disk = match open_with(&path, |options| options.cache = CacheMode::None) {
        Err(DiskError::NoDirect { .. }) => {
            // The file system of temporary files has none: the refusal is what is tested.
            return;
        }
        other => other.unwrap(),
    };
    write(&disk, 512, &[7; 1024]).unwrap();
    assert_eq!(read(&disk, 0, 2048).unwrap(), [[5; 512], [7; 512], [7; 512], [5; 512]].concat());
    disk.flush().unwrap();
}
