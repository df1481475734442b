//! What to boot: a kernel that chukka loads itself, or firmware that loads a kernel through fw_cfg.

mod kernel_words;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use devices::pflash::FlashFile;
use firmware::acpi::AcpiTables;
use firmware::flash::{self, FlashError, FlashImage};
use firmware::image::KernelKind;
use firmware::network_rom::{self, NetworkRom};
use firmware::option_rom::OwnRom;
use firmware::payload::Payload;
use firmware::rom::{BiosImage, OptionRom, RomError};
use firmware::smbios::SmbiosTables;
use firmware::{
    BootState, Firmware, FirmwareKind, MemoryMap, bios_data, builtin, kernel_items, layout,
};
use fw_cfg::Items;
use fw_cfg::x86::rom_path;
use vm_memory::{Bytes, GuestAddress};

use crate::config::{FirmwareConfig, MachineKind, VmConfig};
use crate::error::BootError;
use crate::memory::Ram;
use crate::memory::rom::Rom;

/// Guest memory, in bytes, in which OVMF starts a distribution's kernel. In 128 MiB it starts none,
/// in QEMU either.
const ENOUGH_FOR_EDK2: u64 = 256 << 20;

/// What to boot, with all files open.
#[derive(Debug)]
pub enum Boot {
    /// chukka loads the kernel and enters it.
    Direct(Payload),
    /// Firmware starts at the reset vector.
    Firmware(FirmwareBoot),
}

/// An image of a flash chip that the user gave.
#[derive(Debug)]
pub struct FlashDrive {
    /// Its path, for messages.
    pub path: PathBuf,
    /// Its contents.
    pub file: FlashFile,
}

impl FlashDrive {
    /// What to check of it.
    fn image<'a>((drive, bytes): (&'a Self, &'a Vec<u8>)) -> FlashImage<'a> {
        let is_read_only = drive.file.backend.is_read_only();
        FlashImage { path: &drive.path, bytes, is_read_only }
    }
}

/// A flash chip, with its contents in memory.
#[derive(Debug)]
pub struct FlashChip {
    file: Arc<FlashFile>,
    rom: Arc<Rom>,
}

impl FlashChip {
    /// The file with its contents.
    pub fn file(&self) -> &Arc<FlashFile> {
        &self.file
    }

    /// The memory that the guest reads.
    pub fn rom(&self) -> &Arc<Rom> {
        &self.rom
    }
}

/// Where the firmware is, just below 4 GiB.
#[derive(Debug)]
enum Place {
    /// In a ROM, which has the same contents at each boot.
    Rom(Rom),
    /// In flash chips, which keep what the guest writes. The first one ends at 4 GiB.
    Flash(Vec<FlashChip>),
}

/// Firmware and what it boots.
#[derive(Debug)]
pub struct FirmwareBoot {
    bios: BiosImage,
    place: Place,
    /// The kernel, loaded by an option ROM or by the built-in firmware.
    kernel: Option<Payload>,
    /// Whether that option ROM is chukka's own.
    own_option_rom: bool,
    /// The user's option ROMs and their positions in the boot order.
    option_roms: Vec<(OptionRom, Option<u32>)>,
    /// The boot ROM of the network cards.
    network_rom: Option<NetworkRom>,
}

impl Boot {
    /// Opens the firmware selected by `config`, if any, to boot `kernel`. `flash` has the firmware
    /// if it is in flash chips. Nothing is loaded yet. Appends to `warnings` anything the user
    /// should know.
    ///
    /// # Errors
    /// The firmware cannot be opened, or is not a firmware image.
    pub fn open(
        config: &VmConfig,
        kernel: Option<Payload>,
        flash: Vec<FlashDrive>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, BootError> {
        if let Some(payload) = &kernel
            && let KernelKind::BzImage(_) | KernelKind::Elf(_) = payload.kernel.kind
        {
            warnings.extend(kernel_words::warning(
                config.machine,
                config.cpu.kvm,
                &payload.cmdline,
            ));
        }
        match (&config.firmware, kernel) {
            (Some(firmware), kernel) => {
                let boot = FirmwareBoot::open(firmware, kernel, flash, warnings)?;
                if boot.bios.is_edk2() {
                    warnings.extend(boot.lacks_for_edk2(config));
                }
                Ok(Self::Firmware(boot))
            }
            (None, Some(kernel)) => Ok(Self::Direct(kernel)),
            (None, None) => Err(BootError::Nothing),
        }
    }

    /// Checks that everything fits into the machine.
    ///
    /// # Errors
    /// Something does not fit.
    pub fn check(&self, map: &MemoryMap, machine: MachineKind) -> Result<(), BootError> {
        match self {
            Self::Direct(boot) => Ok(boot.check(map)?),
            Self::Firmware(boot) => boot.publish(&mut Items::new(), map, machine, &[]).map(drop),
        }
    }

    /// Whether the guest's kernel is asked to reserve memory for a crash kernel, which it starts
    /// when it panics (Linux, Documentation/admin-guide/kdump/kdump.rst).
    pub fn reserves_crash_kernel(&self) -> bool {
        let kernel = match self {
            Self::Direct(kernel) => Some(kernel),
            Self::Firmware(boot) => boot.kernel.as_ref(),
        };
        kernel.is_some_and(|kernel| {
            let mut words = kernel.cmdline.split(u8::is_ascii_whitespace);
            words.any(|word| word.starts_with(b"crashkernel="))
        })
    }

    /// The memory that holds the firmware, if there is firmware: a ROM, or all flash chips.
    pub fn roms(&self) -> impl Iterator<Item = &Rom> {
        let rom = match self {
            Self::Firmware(FirmwareBoot { place: Place::Rom(rom), .. }) => Some(rom),
            _ => None,
        };
        rom.into_iter().chain(self.flash_chips().iter().map(|chip| &*chip.rom))
    }

    /// The flash chips.
    pub fn flash_chips(&self) -> &[FlashChip] {
        match self {
            Self::Firmware(FirmwareBoot { place: Place::Flash(chips), .. }) => chips,
            _ => &[],
        }
    }

    /// Whether the firmware should print its progress where the user sees it: nothing else is
    /// visible yet.
    pub fn firmware_talks(&self) -> bool {
        matches!(self, Self::Firmware(boot) if boot.kernel.is_none())
    }

    /// Whether the firmware initializes CPU `cpu` for the kernel: its MTRRs and local APIC. The
    /// built-in firmware only runs on the boot CPU.
    pub fn firmware_readies(&self, cpu: u8) -> bool {
        match self {
            Self::Direct(_) => false,
            Self::Firmware(boot) => cpu == 0 || !boot.bios.is_builtin(),
        }
    }

    /// Whether this is the built-in firmware, which reports boot errors through an fw_cfg file.
    pub fn is_builtin(&self) -> bool {
        matches!(self, Self::Firmware(boot) if boot.bios.is_builtin())
    }

    /// Adds the kernel and the option ROMs to `items`, and returns the boot order: firmware paths,
    /// the kernel's first, then those of option ROMs and `devices` by their boot index.
    ///
    /// # Errors
    /// Something does not fit, or a name is already taken.
    pub fn publish(
        &self,
        items: &mut Items,
        map: &MemoryMap,
        machine: MachineKind,
        devices: &[(u32, String)],
    ) -> Result<Vec<String>, BootError> {
        match self {
            Self::Direct(_) => Ok(Vec::new()),
            Self::Firmware(boot) => boot.publish(items, map, machine, devices),
        }
    }

    /// Loads what the boot CPU needs for its first instruction and returns its initial state. Run
    /// it again to reboot.
    ///
    /// # Errors
    /// A file is no longer readable.
    pub fn load(
        &self,
        ram: &Ram,
        map: &MemoryMap,
        acpi: &AcpiTables,
        smbios: &SmbiosTables,
    ) -> Result<BootState, BootError> {
        match self {
            Self::Direct(boot) => Ok(boot.load(ram.engine(), map, acpi, smbios)?),
            Self::Firmware(boot) => {
                if let Place::Rom(rom) = &boot.place {
                    rom.fill(boot.bios.bytes()).map_err(BootError::Rom)?;
                }
                boot.bios.place_low(ram.memory()).map_err(BootError::Rom)?;
                // On a hardware-reduced machine without EFI, Linux reboots "by BIOS": it jumps to
                // the low reset vector.
                if !boot.bios.restarts_below_1_mib() {
                    let at = GuestAddress(layout::RESET_VECTOR);
                    let written = ram.memory().write_slice(&acpi.reset_code(), at);
                    written.map_err(BootError::Rom)?;
                }
                if boot.bios.is_builtin() {
                    bios_data::write(ram.memory()).map_err(BootError::Rom)?;
                }
                if let Some(kernel) = boot.kernel.as_ref().filter(|kernel| boot.preloads(kernel)) {
                    kernel.load_segments(ram.engine())?;
                }
                Ok(BootState::reset_vector())
            }
        }
    }
}

impl FirmwareBoot {
    fn kind(&self) -> FirmwareKind {
        match &self.bios {
            bios if bios.is_builtin() => FirmwareKind::Builtin,
            bios if bios.is_edk2() => FirmwareKind::Uefi,
            bios if bios.runs_option_roms() => FirmwareKind::Bios,
            _ => FirmwareKind::WithoutOptionRoms,
        }
    }

    /// Whether the firmware expects the kernel's segments in memory, as in QEMU: QEMU's own option
    /// ROM for PVH does, and so does firmware that runs none, such as qboot. Our option ROM fetches
    /// them when the firmware no longer uses any memory.
    fn preloads(&self, boot: &Payload) -> bool {
        let pvh = matches!(boot.kernel.kind, KernelKind::Elf(_));
        pvh && !self.bios.is_builtin() && !(self.own_option_rom && self.bios.runs_option_roms())
    }

    /// What UEFI firmware does not find in this machine, as warnings.
    fn lacks_for_edk2(&self, config: &VmConfig) -> Vec<String> {
        let name = format!("'{}' looks like OVMF", self.bios.path().display());
        let machine = config.machine == MachineKind::Microvm;
        let memory = self.kernel.is_some() && config.memory < ENOUGH_FOR_EDK2;
        let machine = machine.then(|| format!("{name}, which needs -machine pc"));
        let found = config.memory >> 20;
        let memory = memory.then(|| {
            format!("{name}, which may be unable to start a kernel in {found} MiB: use -m 256M")
        });
        machine.into_iter().chain(memory).collect()
    }

    fn open(
        config: &FirmwareConfig,
        kernel: Option<Payload>,
        flash: Vec<FlashDrive>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, BootError> {
        let (bios, place) = match &config.bios {
            Some(bios) => {
                let bios = BiosImage::open(bios, &config.search).map_err(|error| {
                    match (config.for_disk, error) {
                        (true, error @ RomError::NotFound { .. }) => {
                            BootError::NoFirmwareForDisk(error)
                        }
                        (_, error) => error.into(),
                    }
                })?;
                warnings.extend(bios.lacks_variables());
                let rom = Rom::new(bios.high_address(), bios.bytes().len());
                (bios, Place::Rom(rom.map_err(BootError::RomMemory)?))
            }
            None => open_flash(flash, warnings)?,
        };
        if bios.is_builtin() && !config.option_roms.is_empty() {
            warnings.push(format!("-bios {} runs no option ROMs", builtin::NAME));
        }
        let open = |path: &Path| OptionRom::open(path.as_os_str(), &config.search);
        let mut option_roms = Vec::new();
        for wanted in &config.option_roms {
            let opened = open(&wanted.path)?;
            warnings.extend(opened.warning());
            option_roms.push((opened, wanted.bootindex));
        }
        let own_option_rom = config.own_option_rom;
        let network_rom = None;
        let mut boot = Self { bios, place, kernel, own_option_rom, option_roms, network_rom };
        if let Some(name) = &config.network_rom {
            boot.network_rom = boot.open_network_rom(name, &config.search, warnings)?;
        }
        Ok(boot)
    }

    /// Opens the boot ROM of the network cards. EDK2 needs none: it has its own drivers.
    fn open_network_rom(
        &self,
        name: &OsStr,
        search: &[PathBuf],
        warnings: &mut Vec<String>,
    ) -> Result<Option<NetworkRom>, BootError> {
        match self.kind() {
            FirmwareKind::Bios => {}
            FirmwareKind::Uefi => return Ok(None),
            FirmwareKind::Builtin | FirmwareKind::WithoutOptionRoms => {
                let bios = self.bios.path().display();
                warnings.push(format!("'{bios}' cannot boot from the network: use -bios seabios"));
                return Ok(None);
            }
        }
        let rom = NetworkRom::open(name, search).map_err(|error| match error {
            RomError::NotFound { .. } if name == network_rom::DEFAULT => {
                BootError::NoNetworkRom(error)
            }
            error => error.into(),
        })?;
        warnings.extend(rom.warning());
        Ok(Some(rom))
    }

    fn publish(
        &self,
        items: &mut Items,
        map: &MemoryMap,
        machine: MachineKind,
        devices: &[(u32, String)],
    ) -> Result<Vec<String>, BootError> {
        let mut order = Vec::new();
        if let Some(boot) = &self.kernel {
            let firmware = Firmware {
                reserved_for_acpi: reserved_for_acpi(machine),
                kind: self.kind(),
                preloaded: self.preloads(boot),
            };
            kernel_items::publish(items, boot, map, firmware)?;
            if self.own_option_rom && !self.bios.is_builtin() {
                let OwnRom { name, image } = OwnRom::of(&boot.kernel.kind);
                items.add_file(name, image)?;
                order.push(rom_path(name));
            }
        }
        let mut indexed = devices.to_vec();
        for (rom, index) in &self.option_roms {
            rom.publish(items)?;
            indexed.extend(index.map(|index| (index, rom_path(&rom.fw_cfg_name()))));
        }
        if let Some(rom) = &self.network_rom {
            items.add_file(network_rom::FILE, rom.bytes().to_vec())?;
        }
        indexed.sort_by_key(|(index, _)| *index);
        order.extend(indexed.into_iter().map(|(_, path)| path));
        Ok(order)
    }
}

/// Reads the images of the flash chips: the first one has the code.
fn open_flash(
    drives: Vec<FlashDrive>,
    warnings: &mut Vec<String>,
) -> Result<(BiosImage, Place), BootError> {
    let sizes = drives.iter().map(|drive| drive.file.backend.len());
    let found = sizes.fold(0, u64::saturating_add);
    if found > flash::MAX_SIZE {
        return Err(FlashError::TooBig { found }.into());
    }
    let mut contents = Vec::new();
    for FlashDrive { path, file } in &drives {
        let mut bytes = vec![0; usize::try_from(file.backend.len()).unwrap_or_default()];
        let read = file.backend.read(&mut bytes, 0);
        read.map_err(|source| BootError::FlashRead { path: path.clone(), source })?;
        contents.push(bytes);
    }
    let images: Vec<_> = drives.iter().zip(&contents).map(FlashDrive::image).collect();
    let Some(code) = images.first() else { return Err(BootError::Nothing) };
    let (bios, more) = flash::check(code, images.get(1))?;
    warnings.extend(more);
    let mut end = layout::MMIO_HOLE_END;
    let mut chips = Vec::new();
    for (drive, bytes) in drives.into_iter().zip(&contents) {
        end -= bytes.len() as u64;
        let rom = Rom::new(end, bytes.len()).map_err(BootError::RomMemory)?;
        rom.fill(bytes).map_err(BootError::Rom)?;
        chips.push(FlashChip { file: Arc::new(drive.file), rom: Arc::new(rom) });
    }
    Ok((bios, Place::Flash(chips)))
}

/// Bytes at the end of RAM below 4 GiB that QEMU reserves for the firmware's ACPI tables when it
/// places the initrd: `acpi_data_size` in `pc_i440fx_machine_options` (hw/i386/pc.c); none on
/// microvm. Our option ROM moves the initrd anyway, but others may not.
fn reserved_for_acpi(machine: MachineKind) -> u64 {
    match machine {
        MachineKind::Microvm => 0,
        MachineKind::Pc => 0x2_8000,
    }
}

#[cfg(test)]
mod tests {
    use devices::pflash::FlashBackend;
    use guest_memory::hint::Hint;

    use super::*;
    use crate::config::OptionRomConfig;
    use crate::tests::{Scratch, config, kernel};

    /// What is said if an image is not there.
    fn missing(for_disk: bool) -> (String, String) {
        let config = FirmwareConfig {
            bios: Some("no-such-image".into()),
            search: Vec::new(),
            own_option_rom: true,
            option_roms: Vec::new(),
            network_rom: None,
            for_disk,
        };
        let error = FirmwareBoot::open(&config, None, Vec::new(), &mut Vec::new()).unwrap_err();
        (error.to_string(), error.hint().unwrap().into_owned())
    }

    #[test]
    fn a_disk_without_firmware_says_what_to_install() {
        let (message, hint) = missing(true);
        assert_eq!(message, "A disk or CD cannot be booted without firmware");
        assert!(
            hint.starts_with("install SeaBIOS (Debian, Ubuntu: 'apt install seabios'"),
            "{hint}"
        );
        let (message, _) = missing(false);
        assert!(message.starts_with("Cannot find the bios 'no-such-image' in "), "{message}");
    }

    /// What an image of firmware is recognized by: a far jump at its reset vector, or EDK2's GUID.
    #[derive(Clone, Copy, PartialEq)]
    enum Image {
        Builtin,
        LikeSeaBios,
        LikeQboot,
        LikeOvmf,
    }

    /// The configuration of this firmware, and its file.
    fn image(kind: Image) -> (FirmwareConfig, Scratch) {
        let mut bytes = vec![0; 0x1_0000];
        bytes[0xfff0] = if kind == Image::LikeSeaBios { 0xea } else { 0xe9 };
        if kind == Image::LikeOvmf {
            bytes[0xffd0..0xffe0].copy_from_slice(&[
                0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45, 0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a,
                0x08, 0x2d,
            ]);
        }
        let file = Scratch::new(&bytes);
        let builtin = kind == Image::Builtin;
        let config = FirmwareConfig {
            bios: Some(if builtin { "builtin".into() } else { file.0.clone().into() }),
            search: Vec::new(),
            own_option_rom: true,
            option_roms: Vec::new(),
            network_rom: None,
            for_disk: false,
        };
        (config, file)
    }

    fn opened(config: &FirmwareConfig, kernel: Option<Payload>) -> (FirmwareBoot, Vec<String>) {
        let mut warnings = Vec::new();
        let boot = FirmwareBoot::open(config, kernel, Vec::new(), &mut warnings).unwrap();
        (boot, warnings)
    }

    /// `true` for a PVH kernel, `false` for a multiboot kernel.
    #[test]
    fn only_firmware_that_expects_a_pvh_kernel_in_memory_finds_it_there() {
        for (kind, name, own_rom, other_rom) in [
            (Image::Builtin, "Builtin", false, false),
            (Image::LikeSeaBios, "Bios", false, true),
            (Image::LikeQboot, "WithoutOptionRoms", true, true),
            (Image::LikeOvmf, "Uefi", true, true),
        ] {
            let (mut config, _file) = image(kind);
            for (own_option_rom, expected) in [(true, own_rom), (false, other_rom)] {
                config.own_option_rom = own_option_rom;
                let (boot, _) = opened(&config, None);
                assert_eq!(format!("{:?}", boot.kind()), name);
                assert_eq!(boot.preloads(&kernel(true, "")), expected, "{name} {own_option_rom}");
                assert!(!boot.preloads(&kernel(false, "")), "{name} {own_option_rom}");
            }
        }
    }

    #[test]
    fn what_ovmf_lacks_is_told() {
        let (firmware, _file) = image(Image::LikeOvmf);
        let lacks = |machine, with_kernel: bool, mib: u64| {
            let config = VmConfig { memory: mib << 20, ..config(machine) };
            let (boot, _) = opened(&firmware, with_kernel.then(|| kernel(false, "")));
            boot.lacks_for_edk2(&config)
        };
        assert_eq!(lacks(MachineKind::Pc, true, 256), [""; 0]);
        assert_eq!(lacks(MachineKind::Pc, false, 255), [""; 0]);
        let told = lacks(MachineKind::Pc, true, 255);
        assert!(told[0].ends_with("unable to start a kernel in 255 MiB: use -m 256M"), "{told:?}");
        let told = lacks(MachineKind::Microvm, true, 255);
        assert!(told.len() == 2 && told[0].ends_with("needs -machine pc"), "{told:?}");
    }

    /// A ROM of 512 bytes whose checksum is right.
    fn rom() -> Scratch {
        let mut bytes = [0; 512];
        (bytes[0], bytes[1], bytes[2], bytes[511]) = (0x55, 0xaa, 1, 0);
        bytes[511] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
        Scratch::new(&bytes)
    }

    #[test]
    fn option_roms_are_published_and_booted_in_the_order_of_their_indices() {
        let (mut config, _file) = image(Image::LikeSeaBios);
        let roms = [rom(), rom(), rom()];
        for (file, bootindex) in roms.iter().zip([Some(5), None, Some(1)]) {
            config.option_roms.push(OptionRomConfig { path: file.0.clone(), bootindex });
        }
        let network = rom();
        config.network_rom = Some(network.0.clone().into());
        let (boot, warnings) = opened(&config, Some(kernel(true, "")));
        assert_eq!(warnings, [""; 0]);
        let published = |boot: &FirmwareBoot| {
            let (mut items, map) = (Items::new(), MemoryMap::new(64 << 20));
            let devices = [(3, "/disk".to_owned())];
            let order = boot.publish(&mut items, &map, MachineKind::Microvm, &devices).unwrap();
            let names: Vec<_> = items.file_names().map(str::to_owned).collect();
            (order, names)
        };
        let name = |n: usize| roms[n].0.file_name().unwrap().to_str().unwrap();
        let path = |n| rom_path(&format!("genroms/{}", name(n)));
        let (order, names) = published(&boot);
        let expected = [path(2), "/disk".to_owned(), path(0)];
        assert_eq!(order[1..], expected);
        assert!(order[0].starts_with("/rom@genroms/"), "chukka's own is first: {order:?}");
        for n in 0..3 {
            assert!(names.contains(&format!("genroms/{}", name(n))), "{names:?}");
        }
        assert!(names.iter().any(|name| name == network_rom::FILE), "{names:?}");
        config.own_option_rom = false;
        let (order, _) = published(&opened(&config, Some(kernel(true, ""))).0);
        assert_eq!(order, expected);
        // The built-in firmware runs none.
        let builtin =
            FirmwareConfig { bios: Some("builtin".into()), own_option_rom: true, ..config };
        let (boot, warnings) = opened(&builtin, Some(kernel(true, "")));
        assert_eq!(warnings[0], "-bios builtin runs no option ROMs");
        assert_eq!(published(&boot).0, expected);
        let without = FirmwareConfig { option_roms: Vec::new(), network_rom: None, ..builtin };
        assert_eq!(opened(&without, None).1, [""; 0]);
    }

    #[test]
    fn network_cards_have_a_rom_if_the_firmware_can_boot_from_them() {
        let file = rom();
        let open = |kind, rom: &str| {
            let (mut config, _file) = image(kind);
            config.network_rom = Some(rom.into());
            let mut warnings = Vec::new();
            let boot = FirmwareBoot::open(&config, None, Vec::new(), &mut warnings);
            boot.map(|boot| (boot.network_rom.is_some(), warnings.join("; ")))
        };
        let path = file.0.to_str().unwrap();
        assert_eq!(open(Image::LikeSeaBios, path).unwrap(), (true, String::new()));
        assert!(!open(Image::LikeOvmf, path).unwrap().0, "EDK2 has drivers of its own");
        for kind in [Image::Builtin, Image::LikeQboot] {
            let (has_rom, told) = open(kind, path).unwrap();
            assert!(!has_rom && told.ends_with("cannot boot from the network: use -bios seabios"));
        }
        let error = open(Image::LikeSeaBios, "/nowhere/some.rom").unwrap_err();
        assert!(!matches!(error, BootError::NoNetworkRom(_)), "{error}");
    }

    #[test]
    fn what_is_booted_decides_who_talks_and_who_readies_the_cpus() {
        let boot = |kind: Option<Image>, cmdline: Option<&str>| {
            let image = kind.map(image);
            let firmware = image.as_ref().map(|(config, _)| config.clone());
            let config = VmConfig { firmware, ..config(MachineKind::Pc) };
            let kernel = cmdline.map(|cmdline| kernel(true, cmdline));
            Boot::open(&config, kernel, Vec::new(), &mut Vec::new()).unwrap()
        };
        let (builtin, bios) = (Some(Image::Builtin), Some(Image::LikeSeaBios));
        // Talks, readies CPU 0 and CPU 1, is built in, reserves memory for a crash kernel.
        for (kind, cmdline, expected) in [
            (None, Some("quiet"), [false, false, false, false, false]),
            (None, Some("quiet crashkernel=64M"), [false, false, false, false, true]),
            (None, Some("nocrashkernel=1"), [false, false, false, false, false]),
            (builtin, None, [true, true, false, true, false]),
            (builtin, Some("crashkernel=64M"), [false, true, false, true, true]),
            (bios, None, [true, true, true, false, false]),
            (bios, Some("quiet"), [false, true, true, false, false]),
        ] {
            let boot = boot(kind, cmdline);
            let found = [
                boot.firmware_talks(),
                boot.firmware_readies(0),
                boot.firmware_readies(1),
                boot.is_builtin(),
                boot.reserves_crash_kernel(),
            ];
            assert_eq!(found, expected, "{cmdline:?}");
        }
        let nothing = Boot::open(&config(MachineKind::Pc), None, Vec::new(), &mut Vec::new());
        assert!(matches!(nothing, Err(BootError::Nothing)));
    }

    /// A chip of this many bytes, of which the last 16 are a reset vector.
    #[derive(Debug)]
    struct Flash(u64);

    impl FlashBackend for Flash {
        fn len(&self) -> u64 {
            self.0
        }

        fn is_read_only(&self) -> bool {
            true
        }

        fn read(&self, data: &mut [u8], _: u64) -> std::io::Result<()> {
            data[0] = 7;
            if let Some(vector) = data.last_chunk_mut::<16>() {
                vector[0] = 0xea;
            }
            Ok(())
        }

        fn write(&self, _: &[u8], _: u64) -> std::io::Result<()> {
            Ok(())
        }

        fn flush(&self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn flash(sizes: &[u64]) -> Result<(BiosImage, Place), BootError> {
        let drive = |size: &u64| {
            let file = FlashFile { backend: Box::new(Flash(*size)), on_error: Box::new(|_, _| ()) };
            FlashDrive { path: "code.fd".into(), file }
        };
        open_flash(sizes.iter().map(drive).collect(), &mut Vec::new())
    }

    #[test]
    fn flash_chips_end_at_4_gib_one_below_the_other() {
        let (bios, Place::Flash(chips)) = flash(&[0x2_0000, 0x1_0000]).unwrap() else { panic!() };
        assert_eq!(bios.bytes().len(), 0x2_0000);
        let places: Vec<_> = chips.iter().map(|chip| chip.rom().slot()).collect();
        let places: Vec<_> = places.iter().map(|(at, size, _)| (*at, *size)).collect();
        assert_eq!(places, [(0xfffe_0000, 0x2_0000), (0xfffd_0000, 0x1_0000)]);
        let mut byte = [0];
        chips[1].rom().read_at(0, &mut byte);
        assert_eq!(byte, [7]);
        // Nothing is read of what is too big, and all of it is named.
        for sizes in [&[flash::MAX_SIZE + 0x1000][..], &[1 << 40], &[flash::MAX_SIZE, 0x1000]] {
            let error = flash(sizes).unwrap_err().to_string();
            let found = sizes.iter().sum::<u64>();
            assert!(error.contains(&format!("have {found} bytes")), "{error}");
        }
        assert!(matches!(flash(&[]), Err(BootError::Nothing)));
    }

    /// `acpi_data_size` of QEMU's pc is 0x20000 + 0x8000 bytes.
    #[test]
    fn an_initrd_leaves_room_for_the_tables_of_a_pc() {
        assert_eq!(reserved_for_acpi(MachineKind::Pc), 0x2_8000);
        assert_eq!(reserved_for_acpi(MachineKind::Microvm), 0);
    }
}
