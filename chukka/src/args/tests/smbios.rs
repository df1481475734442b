use super::{config, refusal};
use vmm::config::{OemString, SystemInformation};

const UUID: &str = "550e8400-e29b-41d4-a716-446655440000";
const OTHER: &str = "00000000-0000-0000-0000-000000000001";

#[test]
fn strings_keep_their_order() {
    let words = ["-smbios", "type=11,value=a,,b,path=/f", "-smbios", "value=c=d,type=0xb"];
    let text = |text: &str| OemString::Text(text.into());
    assert_eq!(
        config(&words).smbios.oem_strings,
        [text("a,b"), OemString::File("/f".into()), text("c=d")]
    );
}

#[test]
fn the_system_is_merged_key_by_key() {
    let words = [
        "-smbios",
        "type=1,manufacturer=m,product=p,version=v,serial=s,sku=k,family=f",
        "-smbios",
        "type=1,product=q,version=",
    ];
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        config(&words).smbios.system,
        SystemInformation {
            manufacturer: some("m"),
            product: some("q"),
            version: some(""),
            serial: some("s"),
            sku: some("k"),
            family: some("f"),
        }
    );
}

#[test]
fn of_two_uuids_the_last_counts() {
    let smbios = format!("type=1,uuid={OTHER}");
    let last = |words: &[&str]| config(words).uuid.map(|uuid| uuid[15]);
    assert_eq!(last(&["-smbios", &smbios]), Some(1));
    assert_eq!(last(&["-uuid", UUID, "-smbios", &smbios]), Some(1));
    assert_eq!(last(&["-smbios", &smbios, "-uuid", UUID]), Some(0));
    assert_eq!(last(&["-uuid", UUID, "-smbios", "type=1,product=p"]), Some(0));
}

#[test]
fn what_is_not_there_is_refused() {
    let of = |value: &str| refusal(&["-smbios", value]);
    let hint = "chukka has type=11,value=TEXT and type=1,product=TEXT";
    let why = "chukka has no options for this SMBIOS structure";
    assert_eq!(of("type=0,vendor=x"), (format!("-smbios type=0: {why}"), hint.into()));
    assert_eq!(of("type=17").0, format!("-smbios type=17: {why}"));
    assert_eq!(
        of("file=blob"),
        (
            "-smbios file=blob: chukka makes its own structures and takes none from a file".into(),
            hint.into()
        )
    );
    assert_eq!(of("value=x").0, "-smbios value=x: expected type=1,… or type=11,…");
    for number in ["200", "x", ""] {
        let expected = "expected a structure's type: type=1 or type=11";
        assert_eq!(of(&format!("type={number}")).0, format!("-smbios type={number}: {expected}"));
    }
    assert_eq!(
        of("type=11,value=").0,
        "-smbios type=11,value=: expected a text of at least one character"
    );
    let comma = "a comma in a text is written twice: ,,";
    assert_eq!(
        of("type=11,value=a,b"),
        ("-smbios b: expected value=TEXT or path=FILE".into(), comma.into())
    );
    assert!(of("type=1,asset=x").0.starts_with("-smbios asset=x: expected manufacturer=, "));
    assert!(of("type=1,uuid=x").0.starts_with("-smbios uuid=x: expected a UUID such as "));
    assert_eq!(of("type=11,path=").0, "-smbios was given an empty path");
}

#[test]
fn one_structure_has_255_strings_with_those_of_credentials() {
    let long = format!("{}=v", "n".repeat(29));
    let mut words = [["-smbios", "type=11,value=x"]; 255].concat();
    words.extend(["-credential", "short=v"]);
    assert_eq!(config(&words).smbios.oem_strings.len(), 255);
    words.extend(["-credential", &long]);
    assert_eq!(
        refusal(&words).0,
        "-smbios type=11 and -credential, 256 strings: \
         expected at most 255, the most that one SMBIOS structure has"
    );
}
