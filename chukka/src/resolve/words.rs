//! The guest's command line: the user's words, then those that the tree, its installer and the
//! user's answers want.

use std::borrow::Cow;

use location::arguments::{self, AnswersAt, Origin, solaris};
use location::tree::{Installer, Release};
use location::{Injected, Place, Tree};
use serde::{Deserialize, Serialize};

use super::Found;
use crate::location_server::{MEDIUM, TREE};
use crate::request::{Answers, BootSource, SolarisAnswers};

/// What a guest can be told about where its installer comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallSource {
    /// Where a guest finds it, if it can: the tree, or the medium's image if there is a label.
    url: Option<String>,
    /// Where a guest finds the tree in a medium's image, if it can.
    inside: Option<String>,
    /// The medium's label, where it is one.
    label: Option<String>,
    /// Why a guest cannot, for a sentence that ends with it.
    otherwise: Cow<'static, str>,
    /// The kernel's path in it.
    kernel: String,
}

impl InstallSource {
    /// Of a tree in a place; a `label` says that the place is a medium's image. `served_at`: where
    /// the guest's network serves a place of this host.
    pub fn of(place: &Place, served_at: Option<&str>, label: Option<&str>, tree: &Tree) -> Self {
        let root = if label.is_some() { location::TreePath::root() } else { tree.root.clone() };
        let otherwise = match place {
            Place::Local(_) if served_at.is_some() => "this part of a tree is not enough",
            Place::Local(_) if label.is_some() => {
                "the guest cannot reach an image on this host by a URL"
            }
            Place::Local(_) => "the guest cannot reach a directory on this host by a URL",
            _ if label.is_some() => "an image's URL gives no access to the packages in it",
            Place::Tftp(_) => "its installer cannot read TFTP",
            _ => "the tree's URL is not enough",
        };
        let served = served_at.map(|at| Place::Http(format!("{at}/{TREE}")));
        let (url, inside) = match (&served, served_at, label) {
            (Some(served), Some(at), Some(_)) => {
                (Some(format!("{at}/{MEDIUM}")), served.guest_url(&tree.root))
            }
            (Some(served), ..) => (served.guest_url(&root), None),
            (None, ..) => (place.guest_url(&root), None),
        };
        let kernel = tree.kernel.path.as_ref().map(ToString::to_string).unwrap_or_default();
        Self { url, inside, label: label.map(str::to_owned), otherwise: otherwise.into(), kernel }
    }

    /// The ways to it, the best one first.
    fn origins(&self) -> impl Iterator<Item = Origin<'_>> {
        let whole = match (&self.url, &self.label) {
            (Some(url), None) => Origin::Tree(url),
            (Some(url), Some(_)) => Origin::Medium(url),
            (None, _) => Origin::Host,
        };
        let inside = self.inside.as_deref().map(Origin::Tree);
        inside.into_iter().chain([whole])
    }

    fn kernel_name(&self) -> &str {
        self.kernel.rsplit('/').next().unwrap_or_default()
    }
}

/// The whole command line, and a warning if it lacks something.
pub fn command_line(
    source: &BootSource,
    injected: &[Injected],
    found: Option<&Found>,
) -> (Vec<u8>, Option<String>) {
    let nothing = Release::default();
    let release = found.map_or(&nothing, |found| &found.release);
    let answers = answers(source, injected, release);
    let Some(found) = found else {
        return (arguments::command_line(&source.cmdline, &answers), None);
    };
    if let Some(line) = solaris_line(source, found) {
        return (line.into_bytes(), None);
    }
    let mut words = arguments::of_entry(&found.arguments);
    words.extend(answers);
    let line = arguments::command_line(&source.cmdline, &words);
    if found.installer == Installer::DebianMedium {
        let advice = format!(
            "{} looks for its packages on a medium, and the guest has none: use the netboot tree instead",
            found.installer
        );
        return (line, Some(advice));
    }
    if found.installer == Installer::DebianLive && source.location_args {
        let live = ["boot=live", "components"].map(str::to_owned);
        return (arguments::command_line(&line, &live), None);
    }
    let wanted = arguments::package_source(found.installer, release);
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_in(&line)) else { return (line, None) };
    let source_of = &found.install_source;
    let words = source_of.origins().find_map(|way| wanted.words(way, source_of.kernel_name()));
    match words.filter(|_| source.location_args) {
        Some(words) => (arguments::command_line(&line, &words), None),
        None => (line, Some(advice(found, wanted.form, source.location_args))),
    }
}

/// A warning about the word that is missing.
fn advice(found: &Found, form: &str, wanted: bool) -> String {
    let Found { installer, install_source, .. } = found;
    let why = if wanted { &*install_source.otherwise } else { "-no-location-args is given" };
    let mut advice =
        format!("{installer} does not know where its packages are: add -append '{form}' ({why})");
    if let (Installer::Anaconda, Some(label)) = (installer, &install_source.label) {
        let label = label.replace(' ', "\\x20");
        advice.push_str(&format!("; with the medium in the guest: 'inst.stage2=hd:LABEL={label}'"));
    }
    advice
}

/// A warning if the user's answers are for another installer than the one that is booted.
pub fn foreign_answers(source: &BootSource, found: &Found) -> Option<String> {
    let installer = found.installer;
    if let Some(answers) = &source.solaris_answers {
        let of = match (answers, installer) {
            (SolarisAnswers::JumpStart { .. }, Installer::Nevada)
            | (SolarisAnswers::Ai(_), Installer::OpenSolaris) => None,
            (SolarisAnswers::JumpStart { .. }, _) => Some("nfs:… is for JumpStart, of Nevada"),
            (SolarisAnswers::Ai(_), _) => {
                Some("NAME=VALUE is for the Automated Installer, of OpenSolaris")
            }
        };
        if let Some(of) = of {
            return Some(format!("-autocf {of}, but this is {installer}, which ignores it"));
        }
    }
    let given = source.injections.iter().map(|injection| injection.answers);
    let given = given.chain(source.answers_at.iter().map(|(whose, _)| *whose));
    let foreign = given.filter_map(|whose| {
        let (option, of, is_own) = match whose {
            Answers::None => return None,
            Answers::Preseed => {
                ("-preseed", "Debian's installer", is_debian(installer) && !is_subiquity(found))
            }
            Answers::Kickstart => ("-kickstart", "anaconda", installer == Installer::Anaconda),
            Answers::Autoyast => ("-autoyast", "SUSE's installer", installer == Installer::Yast),
        };
        // Of what is not known nothing can be said.
        let this = match installer {
            Installer::Other if is_dracut_live(found) => "a live system".to_owned(),
            Installer::Other => return None,
            _ if is_subiquity(found) => "Ubuntu Server's live system".to_owned(),
            _ => installer.to_string(),
        };
        let instead = if is_subiquity(found) { " and reads cloud-init's autoinstall" } else { "" };
        (!is_own)
            .then(|| format!("{option} is for {of}, but this is {this}, which ignores it{instead}"))
    });
    foreign.take(1).next()
}

/// Whether it is the installer of Ubuntu Server's live media, which reads no preseed files
/// (autoinstall-generator, which converts them for it).
fn is_subiquity(found: &Found) -> bool {
    found.installer == Installer::Casper && found.release.family == "Ubuntu-Server"
}

/// Whether it is a live system that dracut starts. The installer in it takes no answers ("Kickstart
/// is not supported on live installs", anaconda's data/liveinst/liveinst); `inst.…` in its menu
/// tells anaconda's own system.
fn is_dracut_live(found: &Found) -> bool {
    let has = |start: &str| found.arguments.iter().any(|word| word.starts_with(start));
    has("root=live:") && !has("inst.")
}

/// Whether it reads preseed files: Ubuntu's live system does, too.
fn is_debian(installer: Installer) -> bool {
    use Installer::{Casper, Debian, DebianLive, DebianMedium};
    matches!(installer, Debian | DebianMedium | DebianLive | Casper)
}

/// The words of the command line for the user's answers.
fn answers(source: &BootSource, injected: &[Injected], release: &Release) -> Vec<String> {
    let word = |whose, at| match whose {
        Answers::None => None,
        Answers::Preseed => Some(arguments::preseed(at)),
        Answers::Kickstart => Some(arguments::kickstart(at, release)),
        Answers::Autoyast => Some(arguments::autoyast(at)),
    };
    let files = source.injections.iter().zip(injected);
    let files = files.map(|(injection, file)| (injection.answers, AnswersAt::Initrd(file.name())));
    let urls = source.answers_at.iter().map(|(whose, url)| (*whose, AnswersAt::Url(url)));
    files.chain(urls).filter_map(|(whose, at)| word(whose, at)).collect()
}

/// The command line of a Solaris kernel, which has a grammar of its own.
fn solaris_line(source: &BootSource, found: &Found) -> Option<String> {
    let system = match found.installer {
        Installer::Nevada => solaris::System::Nevada,
        Installer::OpenSolaris => solaris::System::OpenSolaris,
        _ => return None,
    };
    let InstallSource { url, label, kernel, .. } = &found.install_source;
    let nfs = url.as_deref().and_then(|url| url.strip_prefix("nfs:")?.split_once(":/"));
    let path = nfs.map(|(_, path)| format!("/{path}")).unwrap_or_default();
    let media = match (url, nfs) {
        _ if !source.location_args => solaris::Media::Other,
        _ if label.is_some() => solaris::Media::Cdrom,
        // The guest has no name that would have an address.
        (_, Some((server, _))) => solaris::Media::Nfs { server, path: &path, guest: None },
        (Some(url), None) => solaris::Media::Http(url),
        (None, None) => solaris::Media::Other,
    };
    let extra = String::from_utf8_lossy(&source.cmdline);
    let properties: Vec<&str> = match &source.solaris_answers {
        Some(SolarisAnswers::Ai(properties)) => properties.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    let answers = source.solaris_answers.as_ref().map(|answers| match answers {
        SolarisAnswers::JumpStart { server, path } => solaris::Answers::JumpStart { server, path },
        SolarisAnswers::Ai(_) => solaris::Answers::Ai(&properties),
    });
    let inputs = solaris::Inputs { system, kernel, extra: &extra, no_window: true, media, answers };
    Some(solaris::command_line(&inputs))
}

#[cfg(test)]
mod tests {
    use location::fetch::Settings;
    use location::tree::Installer::{
        Anaconda, Casper, Debian, DebianLive, DebianMedium, Nevada, OpenSolaris, Yast,
    };

    use super::*;
    use crate::request::BootFiles;

    fn found(installer: Installer, url: Option<&str>, label: Option<&str>) -> Found {
        Found {
            place: "x".into(),
            attempts: Vec::new(),
            warnings: Vec::new(),
            rule: String::new(),
            installer,
            release: Release { family: "Fedora".into(), version: "43".into() },
            arguments: Vec::new(),
            install_source: InstallSource {
                url: url.map(str::to_owned),
                inside: None,
                label: label.map(str::to_owned),
                otherwise: "it is so".into(),
                kernel: "boot/platform/i86xpv/kernel/unix".into(),
            },
            kernel_is_private: false,
            initrd_is_private: false,
            kernel_sum: None,
            initrds: Vec::new(),
        }
    }

    fn source(cmdline: &str) -> BootSource {
        BootSource {
            files: BootFiles::Named { kernel: Place::Local("k".into()), initrd: None },
            injections: Vec::new(),
            answers_at: Vec::new(),
            solaris_answers: None,
            served_at: None,
            served: None,
            location_args: true,
            cmdline: cmdline.into(),
            fetch: Settings::default(),
            checksums: Vec::new(),
        }
    }

    /// Command line and advice, which is empty where there is none.
    fn line(source: &BootSource, found: &Found) -> (String, String) {
        let (line, advice) = command_line(source, &[], Some(found));
        (String::from_utf8(line).unwrap(), advice.unwrap_or_default())
    }

    #[test]
    fn an_installer_is_told_where_its_tree_is_once_and_in_front_of_what_is_not_for_the_kernel() {
        let tree = found(Anaconda, Some("http://h/os"), None);
        for (user, whole) in [
            ("", "inst.repo=http://h/os"),
            ("quiet --- a", "quiet inst.repo=http://h/os --- a"),
            ("inst.repo=http://other", "inst.repo=http://other"),
            ("inst.stage2=hd:LABEL=x quiet", "inst.stage2=hd:LABEL=x quiet"),
        ] {
            assert_eq!(line(&source(user), &tree), (whole.into(), String::new()));
        }
        // The words of the place's own boot loader count as the user's.
        let with_entry = Found { arguments: vec!["inst.stage2=x".into(), "---".into()], ..tree };
        assert_eq!(line(&source("a"), &with_entry).0, "a inst.stage2=x");
    }

    #[test]
    fn what_cannot_be_told_is_advised() {
        let off = BootSource { location_args: false, ..source("quiet") };
        let tree = found(Anaconda, Some("http://h/os"), None);
        let (whole, advice) = line(&off, &tree);
        assert_eq!(whole, "quiet");
        assert!(advice.ends_with("add -append 'inst.repo=URL' (-no-location-args is given)"));
        let (whole, advice) = line(&source("quiet"), &found(Anaconda, None, None));
        assert_eq!(whole, "quiet");
        assert!(advice.ends_with("add -append 'inst.repo=URL' (it is so)"), "{advice}");
        let (_, advice) =
            line(&source(""), &found(Anaconda, Some("http://h/x"), Some("Fedora 43")));
        assert!(advice.ends_with("in the guest: 'inst.stage2=hd:LABEL=Fedora\\x2043'"), "{advice}");
        let (_, advice) = line(&source(""), &found(DebianMedium, None, None));
        assert!(advice.contains("on a medium, and the guest has none"), "{advice}");
        assert_eq!(line(&source(""), &found(Debian, None, None)).1, "");
    }

    #[test]
    fn a_live_system_of_debian_s_is_told_that_it_is_one() {
        let live = found(DebianLive, None, None);
        assert_eq!(line(&source("quiet boot=x"), &live).0, "quiet boot=x components");
        assert_eq!(line(&source(""), &live).0, "boot=live components");
    }

    #[test]
    fn a_served_image_is_told_as_a_tree_or_as_a_whole_whatever_the_installer_takes() {
        let of = |installer, version: &str| {
            let mut image = found(installer, Some("http://10.0.2.4/medium.iso"), Some("L"));
            image.install_source.inside = Some("http://10.0.2.4/tree".into());
            image.release.version = version.into();
            line(&source(""), &image)
        };
        for (installer, version, words) in [
            (Anaconda, "43", "inst.repo=http://10.0.2.4/tree"),
            (Yast, "15.6", "install=http://10.0.2.4/tree"),
            (Yast, "16.0", "root=live:http://10.0.2.4/medium.iso"),
            (Casper, "", "ip=dhcp iso-url=http://10.0.2.4/medium.iso"),
        ] {
            assert_eq!(of(installer, version), (words.into(), String::new()));
        }
    }

    #[test]
    fn answers_for_another_installer_are_a_warning() {
        use Installer::Other;
        let given = |whose| {
            let answers_at = vec![(whose, "http://h/x".to_owned())];
            BootSource { answers_at, ..source("") }
        };
        for (whose, right, wrong, words) in [
            (
                Answers::Preseed,
                Debian,
                Anaconda,
                "-preseed is for Debian's installer, but this is anaconda",
            ),
            (
                Answers::Preseed,
                Casper,
                Yast,
                "-preseed is for Debian's installer, but this is SUSE's",
            ),
            (
                Answers::Kickstart,
                Anaconda,
                Debian,
                "-kickstart is for anaconda, but this is Debian's",
            ),
            (
                Answers::Autoyast,
                Yast,
                Anaconda,
                "-autoyast is for SUSE's installer, but this is anaconda",
            ),
        ] {
            let of = |installer| found(installer, None, None);
            let warning = foreign_answers(&given(whose), &of(wrong)).unwrap();
            assert!(warning.starts_with(words), "{warning}");
            assert_eq!(foreign_answers(&given(whose), &of(right)), None);
            assert_eq!(foreign_answers(&given(whose), &of(Other)), None);
            assert_eq!(foreign_answers(&source(""), &of(wrong)), None);
        }
    }

    #[test]
    fn answers_that_a_live_medium_does_not_read_are_a_warning() {
        use Installer::Other;
        let of = |whose, installer, family: &str, arguments: &str| {
            let answers_at = vec![(whose, "http://h/x".to_owned())];
            let source = BootSource { answers_at, ..source("") };
            let mut found = found(installer, None, None);
            found.release.family = family.into();
            found.arguments = arguments.split_whitespace().map(Into::into).collect();
            foreign_answers(&source, &found)
        };
        let expected = "-preseed is for Debian's installer, but this is Ubuntu Server's live system, which ignores it and reads cloud-init's autoinstall";
        assert_eq!(of(Answers::Preseed, Casper, "Ubuntu-Server", ""), Some(expected.into()));
        assert_eq!(of(Answers::Preseed, Casper, "Ubuntu", ""), None);
        let live = "quiet root=live:CDLABEL=F42 rd.live.image";
        let expected = "-kickstart is for anaconda, but this is a live system, which ignores it";
        assert_eq!(of(Answers::Kickstart, Other, "Fedora", live), Some(expected.into()));
        let installer = "root=live:CDLABEL=F16 inst.stage2=hd:LABEL=F16";
        assert_eq!(of(Answers::Kickstart, Other, "Fedora", installer), None);
        assert_eq!(of(Answers::Kickstart, Other, "", "root=/dev/vda1"), None);
    }

    #[test]
    fn solaris_has_its_own_kind_of_line() {
        let of = |url, label| line(&source("-B a=1 -k"), &found(Nevada, url, label)).0;
        assert_eq!(
            of(Some("nfs:h:/nv"), None),
            "/platform/i86xpv/kernel/unix -k -B a=1 - nowin dhcp"
        );
        assert_eq!(
            of(None, Some("SOL")),
            "/platform/i86xpv/kernel/unix -k -B a=1 - nowin -B install_media=cdrom"
        );
        let later = found(OpenSolaris, Some("http://h"), None);
        assert_eq!(line(&source("-v"), &later).0, "/boot/platform/i86xpv/kernel/unix -v");
    }

    /// The examples of xVM's virt-install(1M).
    #[test]
    fn solaris_gets_the_user_s_answers() {
        let with = |answers: SolarisAnswers, found: &Found| {
            let source = BootSource { solaris_answers: Some(answers), ..source("") };
            (line(&source, found).0, foreign_answers(&source, found))
        };
        let jumpstart = || SolarisAnswers::JumpStart {
            server: "192.168.0.2".into(),
            path: "/export/js".into(),
        };
        let medium = found(Nevada, None, Some("SOL"));
        assert_eq!(
            with(jumpstart(), &medium),
            (
                "/platform/i86xpv/kernel/unix - nowin install -B install_media=cdrom,\
                 sysid_config=192.168.0.2:/export/js,install_config=192.168.0.2:/export/js"
                    .into(),
                None
            )
        );
        let nfs = found(Nevada, Some("nfs:192.168.0.2:/export/nv"), None);
        assert_eq!(
            with(jumpstart(), &nfs).0,
            "/platform/i86xpv/kernel/unix - nowin install dhcp -B \
             sysid_config=192.168.0.2:/export/js,install_config=192.168.0.2:/export/js"
        );
        let ai =
            || SolarisAnswers::Ai(vec!["install_service=osol".into(), "livessh=enable".into()]);
        let url = "http://192.168.0.2:5555/export/ai";
        assert_eq!(
            with(ai(), &found(OpenSolaris, Some(url), None)),
            (
                "/boot/platform/i86xpv/kernel/unix -B install_service=osol,livessh=enable,\
                 install_media=http://192.168.0.2:5555/export/ai,network-interface=xnf0,\
                 xpv-hcp=dhcp,livemode=text"
                    .into(),
                None
            )
        );
        assert_eq!(
            with(ai(), &found(OpenSolaris, None, Some("OSOL"))).0,
            "/boot/platform/i86xpv/kernel/unix -B install_service=osol,livessh=enable,\
             media_boot=true,auto-shutdown=enable,aimanifest=default,network-interface=xnf0,\
             xpv-hcp=dhcp,livemode=text"
        );
        let (_, warning) = with(ai(), &medium);
        assert!(warning.unwrap().starts_with("-autocf NAME=VALUE is for the Automated Installer"));
        let (_, warning) = with(jumpstart(), &found(Debian, None, None));
        assert!(warning.unwrap().starts_with("-autocf nfs:… is for JumpStart, of Nevada, but"));
    }

    #[test]
    fn answers_at_a_url_are_told_with_and_without_a_tree() {
        let at = |whose, url: &str| (whose, url.to_owned());
        let answers_at = vec![
            at(Answers::Kickstart, "nfs:h:/ks"),
            at(Answers::Preseed, "http://h/p"),
            at(Answers::Autoyast, "http://h/a"),
        ];
        let source = BootSource { answers_at, ..source("") };
        let words = "inst.ks=nfs:h:/ks preseed/url=http://h/p autoyast=http://h/a";
        assert_eq!(String::from_utf8(command_line(&source, &[], None).0).unwrap(), words);
        let tree = found(Yast, Some("http://h/oss"), None);
        assert_eq!(line(&source, &tree).0, format!("{words} install=http://h/oss"));
    }
}
