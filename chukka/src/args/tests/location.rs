//! `-location` and what goes into the initrd.

use location::Place;

use super::{boot, boot_source, message, named, parse_words, whole};
use crate::args::Invocation;
use crate::request::{Answers, BootFiles, BootSource, Injection};

fn location(place: &str, kernel: Option<&str>, initrd: Option<&str>) -> BootSource {
    let (kernel, initrd) = (kernel.map(Into::into), initrd.map(Into::into));
    let files = BootFiles::Location { place: Place::Local(place.into()), kernel, initrd };
    boot_source(files, b"")
}

fn injection(path: &str, answers: Answers) -> Injection {
    Injection { path: path.into(), answers }
}

#[test]
fn a_location_needs_no_kernel_and_takes_its_name() {
    for words in [
        &["-location", "/srv"][..],
        &["--location=file:///srv"],
        &["-location", "x", "-location", "/srv"],
    ] {
        assert_eq!(*boot(&whole(words)), location("/srv", None, None), "{words:?}");
    }
    let words = ["-location", "/srv", "-kernel", "k", "-initrd", "i", "-bios", "builtin"];
    assert_eq!(*boot(&whole(&words)), location("/srv", Some("k"), Some("i")));
}

#[test]
fn what_goes_into_the_initrd_is_a_list_but_for_answers() {
    let words = [
        "-kernel",
        "K",
        "-initrd-inject",
        "a",
        "-initrd-inject",
        "d/b",
        "-preseed",
        "p",
        "-preseed",
        "q",
        "-kickstart",
        "a",
    ];
    let expected = [
        injection("a", Answers::Kickstart),
        injection("d/b", Answers::None),
        injection("q", Answers::Preseed),
    ];
    let request = whole(&words);
    assert_eq!(boot(&request).injections, expected);
    assert_eq!(boot(&request).files, named("K", None, b"").files);
}

#[test]
fn answers_with_a_url_are_the_guest_s_to_get() {
    let words = ["-location", "/srv", "-kickstart", "k", "-kickstart", "nfs:h:/ks"];
    let words = [&words[..], &["-autoyast", "http://h/a", "-preseed", "file:///p"]].concat();
    let request = whole(&words);
    let at = [(Answers::Kickstart, "nfs:h:/ks"), (Answers::Autoyast, "http://h/a")];
    assert_eq!(boot(&request).answers_at, at.map(|(whose, url)| (whose, url.to_owned())));
    assert_eq!(boot(&request).injections, [injection("/p", Answers::Preseed)]);
}

#[test]
fn kernel_and_initrd_may_have_urls() {
    let words = ["-kernel", "http://h/k", "-initrd", "./a:b"];
    let (kernel, initrd) = (Place::Http("http://h/k".into()), Some(Place::Local("./a:b".into())));
    assert_eq!(boot(&whole(&words)).files, BootFiles::Named { kernel, initrd });
    let words = ["-location", "/srv", "-kernel", "tftp://h/k", "-no-location-args"];
    let request = whole(&words);
    assert_eq!(boot(&request).files, location("/srv", Some("tftp://h/k"), None).files);
    assert!(!boot(&request).location_args);
}

#[test]
fn a_dry_run_is_told_apart() {
    let words = ["-kernel", "K", "-dry-run"];
    let Ok(Invocation::DryRun(config)) = parse_words(&words) else { panic!("no plan") };
    assert_eq!(*config, whole(&words[..2]));
}

#[test]
fn what_is_no_location_is_refused() {
    for (words, text, hint) in [
        (&["-location", "gopher://host/x"][..], "gopher: is not supported", "copy the tree"),
        (&["-kernel", "gopher://host/x"], "gopher: is not supported", "copy the tree"),
        (&["-location", "/srv", "-initrd", "http://"], "there is no host", "-location /srv"),
        (&["-location", "/srv", "-kickstart", "nfs:x"], "there is no host", "-location /srv"),
        (
            &["-location", "/srv", "-initrd-inject", "http://h/x"],
            "only files of this host can be added to the initrd",
            "download it",
        ),
        (&["-location", "file://host/x"], "names another host", "-location /srv/tree"),
        (&["-location", ""], "-location was given an empty path", "leave -location out"),
        (&["-location", "/srv", "-preseed", ""], "-preseed was given an empty path", "unset"),
        (&["-preseed", "x"], "-preseed is only allowed with -kernel", "-kernel"),
        (&["-initrd-inject", "x", "-bios", "seabios"], "-initrd-inject is only allowed", "-kernel"),
        (&["-dry-run"], "-kernel is missing", "for example"),
        (&["-kernel", "K", "-fetch", "-offline"], "-fetch -offline: expected timeout=", "-help"),
    ] {
        let (message, told) = message(words);
        assert!(message.contains(text), "{words:?}: {message}");
        assert!(told.to_lowercase().contains(&hint.to_lowercase()), "{words:?}: {told}");
    }
}

#[test]
fn answers_for_solaris_are_read() {
    use crate::request::SolarisAnswers;
    let answers = |given| {
        boot(&whole(&["-location", "nv.iso", "-autocf", given])).solaris_answers.clone().unwrap()
    };
    let jumpstart = SolarisAnswers::JumpStart { server: "10.0.2.2".into(), path: "/js".into() };
    assert_eq!(answers("nfs:10.0.2.2:/js"), jumpstart);
    let ai = ["install_service=osol", "bootpath='/a,b'"].map(String::from).to_vec();
    assert_eq!(answers("install_service=osol,bootpath='/a,b'"), SolarisAnswers::Ai(ai));
    for given in ["", "livessh", "=x", "a=b c", "http://mirror.example/js"] {
        let (text, _) = message(&["-location", "nv.iso", "-autocf", given]);
        let expected = "expected nfs:HOST:/DIR, or NAME=VALUE with commas between several";
        assert_eq!(text, format!("-autocf {given}: {expected}"));
    }
    let (text, _) = message(&["-autocf", "a=b"]);
    assert_eq!(text, "-autocf is only allowed with -kernel, which is missing");
}
