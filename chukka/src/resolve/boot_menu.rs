//! What the boot menus of a disk have, for the commands that hand it to the user or to another
//! program: `chukka bootloader` and pygrub.

use std::path::Path;

use firmware::SourceFile;
use location::menu::{self, BootConfig, Choice, Entry, Loader, MenuError, Picked, Volume};
use location::tree::Attempt;
use location::{Fetcher, FileTree, Place, RandomAccess, TreePath};
use serde::{Deserialize, Serialize};
use storage::read_whole;

use super::Opened;
use super::disk;
use super::limits::Limits;
use crate::error::ResolveError;
use crate::reader::ReaderError;

/// The most bytes of a configuration that stands alone (`FS_READ_MAX` of Xen's pygrub).
const CONFIG_LIMIT: usize = 1 << 20;

/// What is asked of a disk.
#[derive(Debug, Serialize, Deserialize)]
pub enum MenuQuery {
    /// All entries of all menus.
    List,
    /// What is booted.
    Choose {
        /// What chooses it.
        by: ChooseBy,
        /// The path of an initrd in place of the entry's own.
        initrd: Option<String>,
        /// Whether the files are wanted, and not only their names.
        with_files: bool,
    },
}

/// What chooses what is booted.
#[derive(Debug, Serialize, Deserialize)]
pub enum ChooseBy {
    /// The first of these entries that can be booted.
    Entry(Vec<Choice>),
    /// The path of a kernel, whatever the menus have.
    Kernel(String),
}

/// The answer.
#[derive(Debug, Serialize, Deserialize)]
pub enum MenuAnswer {
    /// To [`MenuQuery::List`].
    List {
        /// Each menu's place, and its entries by their numbers.
        menus: Vec<(String, Vec<Entry>)>,
        /// What could not be followed, one line each.
        warnings: Vec<String>,
    },
    /// What is booted.
    Chosen(Box<Chosen>),
}

/// What is booted.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Chosen {
    /// The entry; one without a title if the user named the files.
    pub entry: Entry,
    /// The volume and path of its menu, or the volume of the files.
    pub place: String,
    /// What in the menu was not as it should be, one line each.
    pub warnings: Vec<String>,
    /// Where was looked, in order.
    pub attempts: Vec<Attempt>,
    /// Whether there is an initrd. That of a unified kernel image has no name.
    pub has_initrd: bool,
}

impl Opened {
    /// Takes apart an answer to [`MenuQuery::Choose`]: what is booted, and the kernel and initrd if
    /// the query was `with_files`.
    ///
    /// # Errors
    /// The process that reads has not sent what was asked for: it may have been taken over, and
    /// have the names of other files in its answer.
    pub fn chosen(
        self,
        with_files: bool,
    ) -> Result<(Chosen, [Option<SourceFile>; 2]), ReaderError> {
        let Some(MenuAnswer::Chosen(chosen)) = self.menu else {
            return Err(ReaderError::without("answer"));
        };
        if with_files && self.kernel.is_none() {
            return Err(ReaderError::without("kernel"));
        }
        if with_files && self.initrd.is_some() != chosen.has_initrd {
            return Err(ReaderError::without("initrd"));
        }
        Ok((*chosen, [self.kernel, self.initrd]))
    }
}

/// Asks a disk, or the file system at byte `offset` of it.
///
/// # Errors
/// It cannot be read, or has nothing of the kind.
pub(super) fn ask(
    fetcher: &Fetcher,
    place: &Place,
    offset: Option<u64>,
    query: &MenuQuery,
    limits: Limits,
) -> Result<Opened, ResolveError> {
    let volumes = disk::volumes(fetcher, place, offset)?;
    let mut opened = Opened::default();
    opened.menu = Some(match query {
        MenuQuery::List => list(&volumes)?,
        MenuQuery::Choose { by, initrd, with_files } => {
            let (mut chosen, kernel, mut initrds) = match by {
                ChooseBy::Entry(choices) => entry(&volumes, choices)?,
                ChooseBy::Kernel(path) => kernel_alone(&volumes, path)?,
            };
            if let Some(path) = initrd {
                chosen.entry.initrds = vec![path.clone()];
                initrds = vec![named(&volumes, path)?.1];
            }
            chosen.has_initrd = !initrds.is_empty();
            if *with_files {
                opened.kernel = Some(limits.opened(kernel, "kernel")?);
                opened.initrd = limits.joined(initrds)?;
            }
            MenuAnswer::Chosen(Box::new(chosen))
        }
    });
    Ok(opened)
}

fn list(volumes: &[Volume]) -> Result<MenuAnswer, MenuError> {
    let mut attempts = Vec::new();
    let menus = menu::menus(volumes, &mut attempts);
    menu::require_entries(&menus, attempts)?;
    let warnings = menus.iter().flat_map(|menu| menu.warnings());
    let warnings = warnings.map(|warning| format!("{}: {}", warning.what, warning.found)).collect();
    let menus = menus.iter().map(|menu| {
        let place = format!("{}/{}", menu.volume.name, menu.config.path);
        (place, menu.entries(volumes))
    });
    Ok(MenuAnswer::List { menus: menus.collect(), warnings })
}

type Files = (Chosen, Box<dyn RandomAccess>, Vec<Box<dyn RandomAccess>>);

/// The first choice that can be booted; the error is the first one's.
fn entry(volumes: &[Volume], choices: &[Choice]) -> Result<Files, MenuError> {
    let (first, others) = choices.split_first().unwrap_or((&Choice::Default, &[]));
    let mut picked = menu::pick(volumes, first);
    for choice in others {
        picked = picked.or_else(|error| menu::pick(volumes, choice).map_err(|_| error));
    }
    let (picked, attempts) = picked?;
    let Picked { place, entry, kernel, initrds, warnings } = picked;
    Ok((Chosen { entry, place, warnings, attempts, has_initrd: false }, kernel, initrds))
}

fn kernel_alone(volumes: &[Volume], path: &str) -> Result<Files, ResolveError> {
    let (volume, kernel) = named(volumes, path)?;
    let place = volumes.get(volume).map(|volume| volume.name.clone()).unwrap_or_default();
    let entry = Entry { kernel: path.to_owned(), ..Entry::default() };
    Ok((Chosen { entry, place, ..Chosen::default() }, kernel, Vec::new()))
}

/// A file that the user names, and its volume's index.
fn named(volumes: &[Volume], path: &str) -> Result<(usize, Box<dyn RandomAccess>), ResolveError> {
    let missing = "name files on the disk by their paths in its file system";
    menu::named(volumes, path).map_err(|source| {
        let hint = source.hint().unwrap_or(missing);
        ResolveError::Disk { source, hint }
    })
}

/// What the text of a menu would boot that stands alone, without the disk it is from.
///
/// # Errors
/// It cannot be read, is too long, or has no entry that boots a kernel.
pub(super) fn of_config(
    fetcher: &Fetcher,
    place: &Place,
    wanted: Option<&str>,
) -> Result<Opened, ResolveError> {
    let name = place.to_string();
    let unfit = |problem: String| ResolveError::Reported { message: problem, hint: None };
    let read = |source| ResolveError::Fetch { name: name.clone(), source };
    let file = fetcher.short_file(place, CONFIG_LIMIT as u64)?;
    let bytes = read_whole(&*file, CONFIG_LIMIT).map_err(read)?;
    let bytes =
        bytes.ok_or_else(|| unfit(format!("{name} is longer than {CONFIG_LIMIT} bytes")))?;
    let text = String::from_utf8_lossy(&bytes);
    let begins = |word: &str| {
        text.lines().any(|line| line.trim_start().to_ascii_lowercase().starts_with(word))
    };
    let loader = match () {
        () if begins("menuentry") => Loader::Grub,
        () if begins("title") => Loader::GrubLegacy,
        () if begins("label ") => Loader::Syslinux,
        () if begins("image") => Loader::Elilo,
        () => Loader::Grub,
    };
    let config = BootConfig::of_text(&Alone, TreePath::new(Path::new(&name)), loader, &text);
    let entry = wanted.and_then(|entry| config.entry(entry)).or(config.entries.first()).cloned();
    let entry = entry.ok_or_else(|| unfit(format!("{name} has no entry that boots a kernel")))?;
    let warnings = config.warnings;
    let chosen = Chosen { entry, place: name, warnings, ..Chosen::default() };
    Ok(Opened { menu: Some(MenuAnswer::Chosen(Box::new(chosen))), ..Opened::default() })
}

/// What is around a text that stands alone: nothing.
#[derive(Debug)]
struct Alone;

impl FileTree for Alone {
    fn name(&self) -> &'static str {
        "nothing"
    }

    fn list(&self, directory: &TreePath) -> Result<Vec<storage::Entry>, location::FileError> {
        Err(location::FileError::Missing(directory.to_string()))
    }

    fn open(&self, path: &TreePath) -> Result<Box<dyn RandomAccess>, location::FileError> {
        Err(location::FileError::Missing(path.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use location::fetch::{Keep, Settings};

    use super::*;

    #[test]
    fn no_more_of_a_text_without_end_is_taken_than_would_be_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/menu", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let mut request = [0; 4096];
                let _ = connection.read(&mut request);
                let _ = connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                while connection.write_all(&[b'#'; 4096]).is_ok() {}
            }
        });
        let mut settings = Settings { cache: Keep::No, ..Settings::default() };
        settings.net.unannounced = 8 << 20;
        let place = Place::parse(url.as_ref()).unwrap();
        let error = of_config(&Fetcher::new(settings), &place, None).err().unwrap();
        assert_eq!(error.to_string(), format!("{url} is longer than 1048576 bytes"));
    }
}
