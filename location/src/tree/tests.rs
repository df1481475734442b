mod remote;
mod rows;
mod spellings;
mod sums;

use super::layouts::LAYOUTS;
use super::*;
use crate::testing::Temp;
use storage::read_whole;

/// What each file of [`Temp::of`] holds is its own path.
fn content(part: &Part) -> String {
    String::from_utf8(read_whole(&*part.bytes, 1 << 16).unwrap().unwrap()).unwrap()
}

/// Paths of kernel and initrd.
fn pair(tree: &Tree) -> (String, Option<String>) {
    (content(&tree.kernel), tree.initrds.first().map(content))
}

fn find(temp: &Temp) -> Result<Tree, TreeError> {
    Tree::find(&temp.source(), Query::default())
}

fn named(temp: &Temp, kernel: Option<&str>, initrd: Option<&str>) -> Result<Tree, TreeError> {
    let (kernel, initrd) = (kernel.map(Path::new), initrd.map(Path::new));
    let wanted = Query { kernel, initrd, ..Query::default() };
    Tree::find(&temp.source(), wanted)
}

#[test]
fn every_row_is_found_in_a_tree_of_its_shape() {
    for row in &LAYOUTS {
        let [kernel, initrd] =
            [row.kernel, row.initrd].map(|path| path.replace('*', "6.1.0-9-amd64"));
        let temp = Temp::of(&[&kernel, &initrd, "README", "boot/other", "images/other"]);
        let tree = find(&temp).unwrap();
        assert_eq!(pair(&tree), (kernel, Some(initrd)), "{row:?}");
        assert_eq!(tree.installer, row.installer, "{row:?}");
        assert!(tree.rule.starts_with("the layout of "), "{}", tree.rule);
    }
}

#[test]
fn a_pair_is_of_one_row() {
    // A kernel of one row and an initrd of another make no pair.
    let temp = Temp::of(&["images/pxeboot/vmlinuz", "isolinux/initrd.img"]);
    let error = find(&temp).unwrap_err().to_string();
    assert!(error.contains("the kernel is there, the initrd is not there"), "{error}");
    let temp = Temp::of(&["images/pxeboot/vmlinuz", "isolinux/vmlinuz", "isolinux/initrd.img"]);
    assert_eq!(pair(&find(&temp).unwrap()).0, "isolinux/vmlinuz");
}

#[test]
fn network_trees_come_first() {
    let temp = Temp::of(&[
        "isolinux/vmlinuz",
        "isolinux/initrd.img",
        "images/pxeboot/vmlinuz",
        "images/pxeboot/initrd.img",
        "images/xen/vmlinuz",
        "images/xen/initrd.img",
    ]);
    assert_eq!(pair(&find(&temp).unwrap()).0, "images/pxeboot/vmlinuz");
}

#[test]
fn of_several_versions_the_highest_with_its_own_initrd_is_taken() {
    let temp = Temp::of(&[
        "live/vmlinuz-6.1.0-9-amd64",
        "live/initrd.img-6.1.0-9-amd64",
        "live/vmlinuz-6.1.0-10-amd64",
        "live/initrd.img-6.1.0-10-amd64",
        "live/vmlinuz-6.1.0-11-amd64",
    ]);
    let tree = find(&temp).unwrap();
    assert_eq!(content(&tree.kernel), "live/vmlinuz-6.1.0-10-amd64");
    assert!(
        tree.attempts.iter().any(|attempt| attempt.what.contains("6.1.0-11")),
        "{:?}",
        tree.attempts
    );
}

const TREEINFO: &str = "[general]\nfamily = Fedora\nversion = 42\narch = x86_64\n\
                        [images-x86_64]\nkernel = other/vmlinuz\ninitrd = other/initrd.img\n";

fn with_treeinfo(name: &str, text: &str) -> Temp {
    let temp =
        Temp::of(&["other/vmlinuz", "other/initrd.img", "isolinux/vmlinuz", "isolinux/initrd.img"]);
    temp.file(name, text.as_bytes());
    temp
}

#[test]
fn a_treeinfo_comes_before_the_layouts() {
    for name in [".treeinfo", "treeinfo"] {
        let tree = find(&with_treeinfo(name, TREEINFO)).unwrap();
        assert_eq!(pair(&tree), ("other/vmlinuz".into(), Some("other/initrd.img".into())));
        assert_eq!((tree.rule.as_str(), tree.installer), (name, Installer::Anaconda));
        assert_eq!((tree.release.family.as_str(), tree.release.major()), ("Fedora", Some(42)));
        assert_eq!(tree.kernel.sum, None);
    }
}

#[test]
fn a_treeinfo_that_does_not_help_is_passed_over_and_noted() {
    for (text, note) in [
        ("<html>", "no [section]"),
        ("[general]\narch = x86_64\n", "does not name a kernel and initrd"),
        ("[images-x86_64]\nkernel = gone\ninitrd = other/initrd.img\n", "the kernel is not there"),
    ] {
        let tree = find(&with_treeinfo(".treeinfo", text)).unwrap();
        assert_eq!(content(&tree.kernel), "isolinux/vmlinuz");
        assert!(
            tree.attempts.iter().any(|attempt| attempt.found.contains(note)),
            "{:?}",
            tree.attempts
        );
    }
}

#[test]
fn a_treeinfo_of_another_processor_is_an_error() {
    let text = TREEINFO.replace("x86_64", "aarch64");
    let error = find(&with_treeinfo(".treeinfo", &text)).unwrap_err();
    assert!(
        error.to_string().ends_with("is for aarch64 according to its .treeinfo, expected x86_64"),
        "{error}"
    );
}

#[test]
fn a_treeinfo_cannot_name_files_outside_the_tree() {
    let outside = Temp::of(&["vmlinuz", "initrd.img"]);
    let text = |dir: String| {
        format!("[images-x86_64]\nkernel = {dir}/vmlinuz\ninitrd = {dir}/initrd.img\n")
    };
    let path = outside.path();
    let up = format!("../{}", path.file_name().unwrap().to_str().unwrap());
    for dir in [path.to_str().unwrap().to_owned(), up] {
        let tree = find(&with_treeinfo(".treeinfo", &text(dir))).unwrap();
        assert_eq!(content(&tree.kernel), "isolinux/vmlinuz");
    }
}

/// Of "other/vmlinuz", by sha256sum(1).
const SUM: &str = "b8be8dd535945b46eccc72e1fb5d862a9fa8b801c53ed9bbb9bf574c5c13eab2";

#[test]
fn checksums_are_checked_whichever_rule_found_the_file() {
    let with = |sum: &str| {
        with_treeinfo(
            ".treeinfo",
            &format!("{TREEINFO}[checksums]\nother/vmlinuz = sha256:{sum}\n"),
        )
    };
    let right = with(SUM);
    for tree in [find(&right).unwrap(), named(&right, Some("/other/vmlinuz"), None).unwrap()] {
        let (checked, by) = (Checked::Right("sha256".into()), ".treeinfo".to_owned());
        assert_eq!(tree.kernel.sum, Some(Sum { checked, by }));
        assert_eq!(tree.initrds[0].sum, None);
    }
    let wrong = with(&"0".repeat(64));
    for result in [find(&wrong), named(&wrong, Some("other/vmlinuz"), None)] {
        let error = result.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(&format!("/other/vmlinuz' has the sha256 {SUM}, expected 0000")),
            "{text}"
        );
        assert!(
            text.ends_with("by .treeinfo") && error.hint().contains("download it again"),
            "{text}"
        );
    }
    let sum = find(&with("12")).unwrap().kernel.sum.unwrap();
    assert!(matches!(sum.checked, Checked::Unknown(_)));
}

#[test]
fn named_files_are_taken_from_the_place_only() {
    let temp = Temp::of(&["a/k", "a/i", "isolinux/vmlinuz", "isolinux/initrd.img"]);
    for (kernel, initrd) in [("a/k", "a/i"), ("/a/k", "/a/i"), ("../../a/k", "./a//i")] {
        let tree = named(&temp, Some(kernel), Some(initrd)).unwrap();
        assert_eq!(pair(&tree), ("a/k".into(), Some("a/i".into())));
        assert_eq!(tree.rule, "named by the user");
    }
    let error = named(&temp, Some("/etc/passwd"), None).unwrap_err().to_string();
    assert!(
        error.contains("/etc/passwd' is not there") && error.contains("a/, isolinux/"),
        "{error}"
    );
    let error = named(&temp, Some("a/vmlinuz"), None).unwrap_err().to_string();
    assert!(error.ends_with("/a' contains: i, k"), "{error}");
}

#[test]
fn a_file_url_names_a_file_of_the_host() {
    let other = Temp::of(&["my kernel"]);
    let temp = Temp::of(&["isolinux/vmlinuz", "isolinux/initrd.img"]);
    let url = format!("file://{}/my%20kernel", other.path().display());
    let tree = named(&temp, Some(&url), Some("isolinux/initrd.img")).unwrap();
    assert_eq!(pair(&tree), ("my kernel".into(), Some("isolinux/initrd.img".into())));
    for (missing, what) in [
        ("other", "' contains: my kernel"),
        ("absent/kernel", "/absent' does not exist"),
        ("my%20kernel/kernel", "/my kernel' is a file"),
    ] {
        let url = format!("file://{}/{missing}", other.path().display());
        let error = named(&temp, Some(&url), None).unwrap_err().to_string();
        assert!(error.ends_with(what), "{error}");
    }
    let error = named(&temp, Some("file:x"), None).unwrap_err();
    assert!(matches!(error, TreeError::Url { .. }), "{error}");
}

#[test]
fn one_of_a_pair_is_enough() {
    let temp = with_treeinfo(".treeinfo", TREEINFO);
    temp.file("isolinux/my", b"isolinux/my");
    for (kernel, initrd, expected) in [
        (Some("isolinux/vmlinuz"), None, ("isolinux/vmlinuz", Some("isolinux/initrd.img"))),
        (None, Some("isolinux/initrd.img"), ("isolinux/vmlinuz", Some("isolinux/initrd.img"))),
        (Some("other/vmlinuz"), None, ("other/vmlinuz", Some("other/initrd.img"))),
        (Some("isolinux/my"), None, ("isolinux/my", Some("isolinux/initrd.img"))),
        (None, Some("isolinux/my"), ("isolinux/vmlinuz", Some("isolinux/my"))),
        (Some(".treeinfo"), None, (TREEINFO, None)),
    ] {
        let tree = named(&temp, kernel, initrd).unwrap();
        let expected = (expected.0.to_owned(), expected.1.map(str::to_owned));
        assert_eq!(pair(&tree), expected, "{kernel:?} {initrd:?}");
    }
    let error = named(&temp, None, Some(".treeinfo")).unwrap_err();
    assert!(matches!(error, TreeError::NoPartner { .. }), "{error}");
}

const ISOLINUX: &str = "default two\nlabel one\nkernel k1\nappend initrd=i1 a=1\n\
                        label two\nkernel /k2\nappend initrd=/gone b=2\nlabel three\nkernel k3\nappend c=3 initrd=i1,i3\n";

#[test]
fn the_medium_s_own_boot_loader_is_the_last_resort() {
    let temp = Temp::of(&["boot/isolinux/k1", "boot/isolinux/i1", "k2", "boot/isolinux/k3", "i3"]);
    temp.file("boot/isolinux/isolinux.cfg", ISOLINUX.as_bytes());
    // The default's initrd is not there; names without a slash are beside the configuration.
    let tree = find(&temp).unwrap();
    assert_eq!(pair(&tree), ("boot/isolinux/k1".into(), Some("boot/isolinux/i1".into())));
    assert_eq!(tree.rule, "the entry 'one' of boot/isolinux/isolinux.cfg");
    assert_eq!(tree.arguments, ["a=1"]);
    assert!(
        tree.attempts.iter().any(|attempt| attempt.what.contains("'two'")
            && attempt.found.contains("initrd is not there"))
    );

    temp.file("gone", b"gone");
    let tree = find(&temp).unwrap();
    assert_eq!((pair(&tree).0.as_str(), tree.arguments), ("k2", vec!["b=2".to_owned()]));
    // A known layout comes first.
    temp.file("install.amd/vmlinuz", b"k");
    temp.file("install.amd/initrd.gz", b"i");
    let tree = find(&temp).unwrap();
    assert_eq!((content(&tree.kernel).as_str(), tree.arguments.len()), ("k", 0));
}

/// The tree's checksum is that of the whole image.
#[test]
fn a_unified_kernel_image_is_checked_as_a_whole() {
    let image = boot_config::unified::image(&[(".linux", b"kernel"), (".cmdline", b"ro")]);
    let temp = Temp::new();
    temp.file("x.efi", &image);
    temp.file("boot/grub/grub.cfg", b"menuentry a { chainloader /x.efi }\n");
    for (bytes, is_right) in [(&image[..], true), (b"other", false)] {
        let list = format!("{}  x.efi\n", crate::checksum::sha256_of(bytes));
        temp.file("SHA256SUMS", list.as_bytes());
        match find(&temp) {
            Ok(tree) => assert!(is_right && content(&tree.kernel) == "kernel"),
            Err(error) => {
                assert!(!is_right && error.to_string().ends_with("by SHA256SUMS"), "{error}");
            }
        }
    }
    // An entry of systemd-boot for a file that is none.
    let temp = Temp::new();
    temp.file("EFI/Linux/x.efi", b"MZ");
    let error = find(&temp).unwrap_err().to_string();
    assert!(error.contains("it is not a unified kernel image"), "{error}");
}

#[test]
fn an_entry_may_have_several_initrds() {
    let temp = Temp::of(&["k", "i1", "i3"]);
    temp.file("syslinux.cfg", b"label x\nkernel k\ninitrd i1,i3\n");
    let tree = find(&temp).unwrap();
    assert_eq!(tree.initrds.iter().map(content).collect::<Vec<_>>(), ["i1", "i3"]);
    temp.file("syslinux.cfg", b"label x\nkernel k\ninitrd i1,i2\n");
    let error = find(&temp).unwrap_err().to_string();
    assert!(error.contains("an initrd is not there"), "{error}");
    temp.file("syslinux.cfg", b"timeout 3\n");
    let error = find(&temp).unwrap_err().to_string();
    assert!(error.contains("syslinux.cfg: has no entry that boots a kernel"), "{error}");
}

#[test]
fn finding_nothing_reports_what_was_tried_and_what_exists() {
    let temp = Temp::of(&["README", "EFI/BOOT/x"]);
    let error = find(&temp).unwrap_err();
    let text = error.to_string();
    for word in [
        "tried .treeinfo: not there",
        "; treeinfo: not there",
        "; the 82 known layouts: no kernel with its initrd",
        "EFI/, README",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(error.hint().contains("-kernel PATH -initrd PATH"));
    let text = find(&Temp::new()).unwrap_err().to_string();
    assert!(text.contains("it is empty; tried"), "{text}");
    let many: Vec<_> = (10..30).map(|number| format!("file{number}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let text = find(&Temp::of(&many)).unwrap_err().to_string();
    assert!(text.contains("file21 and 8 more; tried"), "{text}");
}

#[test]
fn a_page_saved_as_a_kernel_is_named() {
    let temp = Temp::of(&["isolinux/initrd.img"]);
    temp.file("isolinux/vmlinuz", b"\n<!DOCTYPE html><title>404</title>");
    let error = find(&temp).unwrap_err();
    assert!(
        error.to_string().ends_with("/isolinux/vmlinuz' is an HTML or XML page, expected a kernel"),
        "{error}"
    );
    assert!(error.hint().contains("with curl, use --fail"));
    let temp = Temp::of(&["isolinux/vmlinuz"]);
    temp.file("isolinux/initrd.img", b"");
    let error = find(&temp).unwrap_err();
    assert!(
        error.to_string().ends_with("/isolinux/initrd.img' is empty (0 bytes), expected an initrd"),
        "{error}"
    );
}

#[test]
fn a_pipe_where_a_kernel_was_to_be_is_passed_over_and_noted() {
    let temp = Temp::of(&["isolinux/initrd.img"]);
    let (cwd, mode) = (rustix::fs::CWD, rustix::fs::Mode::RUSR);
    let path = temp.path().join("isolinux/vmlinuz");
    rustix::fs::mknodat(cwd, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let error = find(&temp).unwrap_err().to_string();
    assert!(error.contains("isolinux/vmlinuz' is a pipe, expected a regular file"), "{error}");
}

#[test]
fn the_root_file_system_of_coreos_is_part_of_its_initrd() {
    let files =
        ["images/pxeboot/vmlinuz", "images/pxeboot/initrd.img", "images/pxeboot/rootfs.img"];
    let temp = Temp::of(&files);
    // A server's page for what is not there, which is not recognized as one, is no archive.
    let tree = find(&temp).unwrap();
    assert_eq!((tree.installer, tree.initrds.len()), (Installer::Anaconda, 1));
    temp.file(files[2], b"<!doctype html>");
    assert_eq!(find(&temp).unwrap().installer, Installer::Anaconda);
    temp.file(files[2], b"070701");
    let check = |rule: &str| {
        let tree = find(&temp).unwrap();
        let initrds: Vec<_> = tree.initrds.iter().map(content).collect();
        assert_eq!(initrds, [files[1], "070701"]);
        assert_eq!((tree.installer, tree.rule.contains(rule)), (Installer::CoreOs, true));
    };
    check("the layout of");
    // Its menu says which system runs, and where the medium is; that is not needed.
    let menu = "menuentry c { linux /images/pxeboot/vmlinuz coreos.liveiso=fcos ignition.firstboot ignition.platform.id=metal }";
    temp.file("EFI/fedora/grub.cfg", menu.as_bytes());
    check("the layout of");
    let words = find(&temp).unwrap().arguments;
    assert_eq!(words, ["ignition.firstboot", "ignition.platform.id=metal"]);
    // The user's configuration is in another initrd of the menu (`coreos-installer iso ignition`).
    temp.file("images/ignition.img", b"configuration");
    let own = menu.replace(" }", "; initrd /images/pxeboot/initrd.img /images/ignition.img }");
    temp.file("EFI/fedora/grub.cfg", own.as_bytes());
    let tree = find(&temp).unwrap();
    let initrds: Vec<_> = tree.initrds.iter().map(content).collect();
    assert_eq!(initrds, [files[1], "configuration", "070701"]);
    std::fs::remove_file(temp.path().join("images/ignition.img")).unwrap();
    let tree = find(&temp).unwrap();
    assert_eq!(tree.initrds.len(), 2);
    assert!(tree.warnings[0].contains("'/images/ignition.img' of the entry 'c' was left out"));
    temp.file("EFI/fedora/grub.cfg", menu.as_bytes());
    let info = "[general]\narch = x86_64\nfamily = Fedora CoreOS\n[images-x86_64]\nkernel = images/pxeboot/vmlinuz\n\
                initrd = images/pxeboot/initrd.img\nrootfs = images/pxeboot/rootfs.img\n";
    temp.file(".treeinfo", info.as_bytes());
    check(".treeinfo");
    assert_eq!(find(&temp).unwrap().warnings, [""; 0]);
    // The system can also fetch it, so this is no error.
    std::fs::remove_file(temp.path().join(files[2])).unwrap();
    let tree = find(&temp).unwrap();
    assert_eq!((tree.installer, tree.initrds.len()), (Installer::CoreOs, 1));
    let [warning] = &tree.warnings[..] else { panic!("{:?}", tree.warnings) };
    let problem = "the root file system 'images/pxeboot/rootfs.img', which is not there";
    assert!(warning.starts_with(".treeinfo names ") && warning.contains(problem), "{warning}");
}

/// XCP-ng's and Mandriva's describe their trees in the same file.
#[test]
fn a_treeinfo_is_anaconda_s_if_its_family_or_its_second_stage_says_so() {
    for (family, more, installer) in [
        ("Fedora", "", Installer::Anaconda),
        ("AlmaLinux", "", Installer::Anaconda),
        ("openSUSE", "", Installer::Yast),
        ("XCP-ng", "", Installer::Other),
        ("Mandriva Linux", "", Installer::Other),
        ("", "", Installer::Other),
        ("My rebuild", "[stage2]\nmainimage = images/install.img\n", Installer::Anaconda),
    ] {
        let temp = Temp::of(&["vmlinuz", "initrd"]);
        let text = format!(
            "[general]\narch = x86_64\nfamily = {family}\n{more}[images-x86_64]\nkernel = vmlinuz\ninitrd = initrd\n"
        );
        temp.file(".treeinfo", text.as_bytes());
        let tree = find(&temp).unwrap();
        assert_eq!(tree.installer, installer, "{family}");
        let is_told = tree.warnings.iter().any(|it| it.contains("no arguments are added"));
        assert_eq!(is_told, installer == Installer::Other, "{family}: {:?}", tree.warnings);
    }
}

#[test]
fn an_installed_system_without_a_menu_is_no_layout() {
    for own in ["usr/bin/true", "bin/true", "sbin/init"] {
        let temp = Temp::of(&["boot/vmlinuz", "boot/initrd.img", "etc/fstab", own]);
        let error = find(&temp).unwrap_err();
        let TreeError::Nothing { candidates, tried, .. } = &error else { panic!("{error}") };
        let expected = "an installed system, whose root only its boot menu names";
        assert!(tried.contains(expected), "{own}: {tried}");
        assert!(!candidates.is_empty(), "{error}");
    }
}

#[test]
fn a_live_medium_without_its_menu_is_not_anaconda() {
    let files = ["images/pxeboot/vmlinuz", "images/pxeboot/initrd.img", "LiveOS/squashfs.img"];
    let temp = Temp::of(&files);
    let tree = find(&temp).unwrap();
    assert_eq!(tree.installer, Installer::Other);
    assert!(tree.warnings[0].contains("-append 'root=live:"), "{:?}", tree.warnings);
    // As the media of RHEL 7.
    temp.file(".discinfo", b"1\nRed Hat Enterprise Linux 7.9\nx86_64\n");
    assert_eq!(find(&temp).unwrap().installer, Installer::Anaconda);
    std::fs::remove_file(temp.path().join(".discinfo")).unwrap();
    temp.file("images/install.img", b"x");
    assert_eq!(find(&temp).unwrap().installer, Installer::Anaconda);
    std::fs::remove_file(temp.path().join("images/install.img")).unwrap();
    let menu = "menuentry a { linux /images/pxeboot/vmlinuz inst.stage2=hd:LABEL=X }";
    temp.file("EFI/BOOT/grub.cfg", menu.as_bytes());
    let tree = find(&temp).unwrap();
    assert_eq!((tree.installer, tree.warnings), (Installer::Anaconda, Vec::new()));
}

#[test]
fn a_live_medium_keeps_the_words_of_its_menu() {
    let temp = Temp::of(&["images/pxeboot/vmlinuz", "images/pxeboot/initrd.img"]);
    let menu = |words: &str| {
        let text = format!(
            "menuentry Live {{ linux /images/pxeboot/vmlinuz {words}; initrd /images/pxeboot/initrd.img }}"
        );
        temp.file("boot/grub2/grub.cfg", text.as_bytes());
        find(&temp).unwrap()
    };
    let live = menu("root=live:CDLABEL=F42 rd.live.image");
    assert_eq!((live.installer, live.arguments.len()), (Installer::Other, 2));
    let installer = menu("inst.stage2=hd:LABEL=F42");
    assert_eq!((installer.installer, installer.arguments.len()), (Installer::Anaconda, 0));
}

/// The kernels of other live media, and those of installed systems, have names that layouts have
/// too.
#[test]
fn a_layout_needs_evidence_where_the_place_has_a_menu() {
    use Installer::{Alpine, Arch, Casper, DebianLive, Other, Yast};
    let suse = ["boot/x86_64/loader/linux", "boot/x86_64/loader/initrd"];
    let casper = ["casper/vmlinuz", "casper/initrd.lz"];
    let arch = ["arch/boot/x86_64/vmlinuz-linux", "arch/boot/x86_64/initramfs-linux.img"];
    for (files, words, installer, kept) in [
        (suse, "quiet root=live:CDLABEL=Fedora-WS-Live-43 rd.live.image", Other, true),
        (suse, "splash=silent", Yast, false),
        (casper, "boot=casper username=mint quiet splash --", Casper, true),
        (casper, "quiet splash ---", Casper, false),
        (arch, "archisobasedir=arch archisolabel=ARCH_202603", Arch, true),
        (["boot/vmlinuz-lts", "boot/initramfs-lts"], "modules=loop,squashfs quiet", Alpine, true),
        (["live/vmlinuz-6.1", "live/initrd.img-6.1"], "boot=live components", DebianLive, true),
        (["boot/vmlinuz", "boot/initrd.img"], "root=/dev/vda1 ro", Other, true),
        (["boot/vmlinuz", "boot/initrd.img"], "quiet", Other, true),
        (["linux", "initrd"], "root=/dev/vda1 ro", Other, true),
        (["linux", "initrd"], "root=/dev/ram0 ro", Casper, false),
    ] {
        let temp = Temp::of(&files);
        let text = format!("menuentry a {{ linux /{} {words}; initrd /{} }}", files[0], files[1]);
        temp.file("boot/grub2/grub.cfg", text.as_bytes());
        let tree = find(&temp).unwrap();
        assert_eq!((tree.installer, !tree.arguments.is_empty()), (installer, kept), "{words}");
        assert_eq!(tree.rule.contains("with the arguments of boot/grub2/grub.cfg"), kept);
    }
}

#[test]
fn files_that_look_like_kernels_are_named_first_where_nothing_is_found() {
    let temp = Temp::of(&["boot/vmlinuz-6.1", "boot/config-6.1"]);
    let error = find(&temp).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("but boot/vmlinuz-6.1 is there; it contains: boot/;"), "{text}");
    assert!(error.hint().contains("-kernel boot/vmlinuz-6.1"), "{}", error.hint());
    assert!(text.len() < 600, "{text}");
}

#[test]
fn an_entry_that_is_passed_over_is_reported() {
    let temp = Temp::of(&["k"]);
    temp.file("grub/grub.cfg", b"menuentry a { linux /gone }\nmenuentry b { linux /k }");
    let tree = find(&temp).unwrap();
    assert_eq!(tree.warnings, ["the entry 'a' was skipped: the kernel is not there"]);
}
