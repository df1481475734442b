//! grub.cfg: GRUB's scripting language (GRUB's manual, "Writing full configuration files
//! directly").
//!
//! A script is split into tokens ([`lexer`]), parsed ([`parser`]) and run ([`interpreter`]). As in
//! GRUB, a menu entry's commands run only after all of the configuration was read: what they expand
//! are the variables' values at the end. A submenu inherits only exported variables, and has a
//! `default` of its own.

mod command_line;
mod conditions;
mod interpreter;
mod lexer;
mod number;
mod parser;
mod regexp;
mod variables;

use super::unified::UnifiedImage;
use super::{ENTRIES, Entry, Files, Menu, Step, devices, environment, without_device};
use interpreter::{Interpreter, Loaded, MenuBody, MenuItem};

/// How deep submenus can be nested.
const DEPTH: usize = 8;
/// What GRUB offers (`features` in its grub-core/normal/main.c).
const FEATURES: [&str; 8] = [
    "feature_chainloader_bpb",
    "feature_ntldr",
    "feature_platform_search_hint",
    "feature_default_font_path",
    "feature_all_video_module",
    "feature_menuentry_id",
    "feature_menuentry_options",
    "feature_timeout_style",
];

/// Reads a configuration.
pub(super) fn menu(text: &str, files: &mut Files<'_>) -> Menu {
    let (root, directory) = (files.root.clone(), files.directory.to_string());
    let prefix = format!("({root})/{}", directory.trim_start_matches('/'));
    let mut grub = Interpreter::new(files);
    set_initial_variables(&mut grub, &root, &prefix);
    grub.run_text(text, "grub.cfg");
    let saved = saved_entry(&mut grub, &prefix);
    if let Some(command) = grub.left_by.take() {
        grub.warn(format!(
            "the configuration runs '{command}' before GRUB shows its menu: GRUB itself would boot no entry"
        ));
    }

    let mut entries = Vec::new();
    let mut defaults = Vec::new();
    if grub.has_booted {
        // It boots while the configuration is read: the menu never shows.
        let loaded = std::mem::take(&mut grub.loaded);
        let step = Step { position: 0, title: "boot".into(), id: String::new() };
        entries.push(entry(&mut grub, loaded, vec![step]));
        defaults.push(0);
    }
    let nodes = run_menu(&mut grub, &[], &mut entries);
    let get = |name: &str| grub.variables.value(name).to_owned();
    let (default, fallback) = (get("default"), get("fallback"));
    let choice = choose(&nodes, &super::menu_path(&default));
    if let Some(instead) = choice.instead {
        // Of a word that begins with a number, some of GRUB's versions take the number.
        let is_same_everywhere = number::leading(&default).is_none_or(|(_, rest)| ends(rest));
        let as_with = if is_same_everywhere { ", as with GRUB" } else { "" };
        grub.warn(format!(
            "the default entry '{default}' does not exist: '{}' boots instead{as_with}",
            instead.title
        ));
    }
    let first = nodes.first().and_then(Node::first);
    if let (None, Some(first)) = (choice.entry, first) {
        let first = &entries[first].title;
        grub.warn(format!("the default entry '{default}' boots nothing: '{first}' boots instead"));
    }
    defaults.extend(choice.entry.or(first));
    defaults.extend(fallbacks(&nodes, &fallback));
    Menu { entries, defaults, saved, warnings: grub.warnings }
}

/// Variables that GRUB sets.
fn set_initial_variables(grub: &mut Interpreter<'_, '_>, root: &str, prefix: &str) {
    // Only GRUB for UEFI reads what is in an EFI system partition's directory.
    let is_efi = prefix.split('/').any(|name| name.eq_ignore_ascii_case("efi"));
    let (platform, cpu) = if is_efi { ("efi", "x86_64") } else { ("pc", "i386") };
    let own = [
        ("prefix", prefix),
        ("config_directory", prefix),
        ("root", root),
        ("grub_platform", platform),
        ("grub_cpu", cpu),
    ];
    for (name, value) in own.into_iter().chain(FEATURES.map(|feature| (feature, "y"))) {
        grub.variables.set(name, value);
        grub.variables.export(name);
    }
}

/// What was booted last, also where the configuration does not ask for it.
fn saved_entry(grub: &mut Interpreter<'_, '_>, prefix: &str) -> String {
    let saved = grub.variables.value("saved_entry").to_owned();
    if !saved.is_empty() {
        return saved;
    }
    let block = environment::read(&format!("{prefix}/grubenv"), grub.files);
    block
        .unwrap_or_default()
        .into_iter()
        .find(|(name, _)| name == "saved_entry")
        .unwrap_or_default()
        .1
}

/// A menu entry whose commands have run.
struct Node {
    title: String,
    id: String,
    content: Content,
}

enum Content {
    /// The index of what it boots.
    Entry(usize),
    /// Its menu, and that menu's own `default`.
    Menu { nodes: Vec<Node>, default: String },
    /// It boots nothing.
    Nothing,
}

impl Node {
    /// The entry that is booted if this one is chosen and nothing more is said.
    fn first(&self) -> Option<usize> {
        self.choose(&[]).entry
    }

    /// The entry that is booted if this one is chosen, with these names for the menu that it opens.
    fn choose(&self, names: &[String]) -> Choice<'_> {
        match &self.content {
            Content::Entry(index) => Choice { entry: Some(*index), instead: None },
            Content::Menu { nodes, default } if default.is_empty() => choose(nodes, names),
            Content::Menu { nodes, default } => choose(nodes, &super::menu_path(default)),
            Content::Nothing => Choice::default(),
        }
    }
}

/// What `default` leads to.
#[derive(Default)]
struct Choice<'n> {
    /// What is booted.
    entry: Option<usize>,
    /// The first entry of a menu, which is taken as the name of another is not there.
    instead: Option<&'n Node>,
}

/// Runs the commands of all entries of the menu that was read, each in variables of its own.
fn run_menu(grub: &mut Interpreter<'_, '_>, above: &[Step], entries: &mut Vec<Entry>) -> Vec<Node> {
    let mut items = std::mem::take(&mut grub.menu);
    items.sort_by_key(|item| item.is_hidden);
    let mut nodes = Vec::new();
    for (position, item) in items.into_iter().enumerate() {
        let loops = grub.files.loops.iter();
        let loops = loops.map(|(name, looped)| name.len() + looped.image.len());
        let size = grub.variables.size() + loops.sum::<usize>();
        if entries.len() >= ENTRIES || !grub.charge(size) {
            break;
        }
        let step = Step { position, title: item.title.clone(), id: item.id.clone() };
        let steps = [above, &[step]].concat();
        let (outer, loops) = (grub.variables.clone(), grub.files.loops.clone());
        if item.is_submenu {
            grub.variables = outer.exported();
        }
        nodes.push(run_item(grub, item, steps, entries));
        (grub.variables, grub.files.loops) = (outer, loops);
    }
    nodes
}

fn run_item(
    grub: &mut Interpreter<'_, '_>,
    item: MenuItem,
    steps: Vec<Step>,
    entries: &mut Vec<Entry>,
) -> Node {
    let MenuItem { title, id, is_submenu, arguments, body, .. } = item;
    let index = entries.len();
    let script = match body {
        MenuBody::Entry(entry) => {
            let at = Entry::at(steps);
            entries.push(Entry { steps: at.steps, title: at.title, ..*entry });
            return Node { title, id, content: Content::Entry(index) };
        }
        MenuBody::Script(script) => script,
    };
    grub.loaded = Loaded::default();
    grub.has_own_menu = is_submenu;
    grub.variables.set("chosen", &chosen(&steps));
    grub.run_entry(&script, arguments);
    let loaded = std::mem::take(&mut grub.loaded);
    // An entry that loaded a kernel boots it, whatever it added to the menu.
    let is_menu = is_submenu || !loaded.is_anything();
    let content = if is_menu && !grub.menu.is_empty() && steps.len() < DEPTH {
        let default = if grub.has_own_menu { grub.variables.value("default") } else { "" };
        let default = default.to_owned();
        let nodes = run_menu(grub, &steps, entries);
        Content::Menu { nodes, default }
    } else if is_submenu {
        grub.menu.clear();
        Content::Nothing
    } else {
        grub.menu.clear();
        let entry = entry(grub, loaded, steps);
        entries.push(entry);
        Content::Entry(index)
    };
    Node { title, id, content }
}

/// `$chosen`: the ids of an entry and of those that opened its menu.
fn chosen(steps: &[Step]) -> String {
    let ids = steps.iter().map(|Step { title, id, .. }| if id.is_empty() { title } else { id });
    ids.map(|id| id.replace('>', ">>")).collect::<Vec<_>>().join(">")
}

fn entry(grub: &mut Interpreter<'_, '_>, loaded: Loaded, steps: Vec<Step>) -> Entry {
    let Loaded { kernel, initrds, multiboot, modules, chained, missing } = loaded;
    let mut entry = Entry::at(steps);
    // What is not there is what the entry would boot, unless it found something else.
    let missing = missing.filter(|_| multiboot.is_none() && chained.is_none());
    if let Some((kernel, arguments)) = kernel.or(missing) {
        (entry.kernel, entry.arguments, entry.initrds) = (kernel, arguments, initrds);
    }
    if let Some(kernel) = multiboot {
        entry.set_multiboot(kernel, modules);
    }
    // Of other loaders, only a unified kernel image boots here. Its own command line counts if
    // there is no other.
    if let Some((path, arguments)) = chained.filter(|_| entry.kernel.is_empty())
        && let Some(file) = grub.files.find_absolute(&path, None)
        && let Ok(Some(image)) = UnifiedImage::open(file)
    {
        let own = match arguments.as_str() {
            "" => grub.files.command_line(&image),
            _ => Some(arguments),
        };
        if let Some(own) = own {
            (entry.kernel, entry.arguments, entry.is_unified) = (path, own, true);
        }
    }
    entry
}

/// The entry that the names in a path through menus lead to: numbers, titles or ids. Where a menu
/// does not have the entry, GRUB takes its first, with the names behind as they are
/// (`grub_menu_execute_entry` in grub-core/normal/menu.c).
fn choose<'n>(nodes: &'n [Node], names: &[String]) -> Choice<'n> {
    let (name, behind) = names.split_first().map_or(("", names), |(name, behind)| (name, behind));
    let named = find(nodes, name);
    let first = nodes.first();
    let instead = first.filter(|_| named.is_none() && !name.is_empty());
    let choice = named.or(first).map(|node| node.choose(behind)).unwrap_or_default();
    Choice { instead: instead.or(choice.instead), ..choice }
}

/// Words of `fallback` that are looked up.
const FALLBACKS: usize = 64;

/// The entries that `fallback` names (`get_and_remove_first_entry_number` in
/// grub-core/normal/menu.c): words that are each like `default`, or a title with spaces behind
/// them.
fn fallbacks(nodes: &[Node], fallback: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut rest = fallback.trim();
    for _ in 0..FALLBACKS {
        // A title with spaces is the last.
        if let Some(index) = followed(nodes, rest, find_named) {
            found.push(index);
            break;
        }
        let (word, behind) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        found.extend(followed(nodes, word, find));
        rest = behind.trim_start();
    }
    found
}

type Find = for<'n> fn(&'n [Node], &str) -> Option<&'n Node>;

/// The entry at the end of a path through menus.
fn followed(nodes: &[Node], path: &str, find: Find) -> Option<usize> {
    let path = super::menu_path(path);
    let mut names = path.iter();
    let mut node = find(nodes, names.next()?)?;
    for name in names {
        let Content::Menu { nodes, .. } = &node.content else { break };
        node = find(nodes, name)?;
    }
    node.first()
}

/// A number (`get_entry_number` in grub-core/normal/menu.c), a title or an id. Only what follows a
/// number and a space is ignored: ids of the Boot Loader Specification can begin with digits, and
/// GRUB of Fedora compares them first.
fn find<'n>(nodes: &'n [Node], name: &str) -> Option<&'n Node> {
    let leading = number::leading(name);
    let at = |number: u64| nodes.get(usize::try_from(number).ok()?);
    let whole = leading.filter(|(_, rest)| rest.is_empty());
    let by_number = whole.and_then(|(number, _)| at(number));
    by_number
        .or_else(|| find_named(nodes, name))
        .or_else(|| leading.filter(|(_, rest)| ends(rest)).and_then(|(number, _)| at(number)))
}

fn find_named<'n>(nodes: &'n [Node], name: &str) -> Option<&'n Node> {
    let is_named = |node: &&Node| !name.is_empty() && (node.title == name || node.id == name);
    nodes.iter().find(is_named)
}

/// Whether a number that is followed by this ends there.
fn ends(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(char::is_whitespace)
}

#[cfg(test)]
mod tests;
