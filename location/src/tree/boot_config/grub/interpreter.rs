//! Runs GRUB scripts within limits: nothing is executed but what decides which files are booted.

mod commands;
mod expansion;
mod file_commands;
mod loading;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::super::bls::{self, GrubEntry};
use super::super::{ENTRIES, Entry, Files, Module};
use super::lexer::{Word, tokens};
use super::parser::{Command, Script, parse};
use super::regexp;
use super::variables::Variables;
use status::Status;

/// How deep functions, blocks and included files can be nested.
const DEPTH: usize = 48;
/// Commands that one configuration can run.
const STEPS: usize = 1 << 16;
/// Bytes that all expanded words can have together.
const EXPANDED: usize = 4 << 20;
/// Bytes of files that commands can compare or compute checksums of.
const EXAMINED: u64 = 256 << 20;
/// Maximum number of warnings.
const WARNINGS: usize = 8;

/// What follows a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// The next one.
    Next,
    /// The end of this many loops.
    Break(usize),
    /// The next round of the loop outside this many others.
    Continue(usize),
    /// The end of the function.
    Return,
    /// Nothing: another menu took over, something was booted, or a limit was reached.
    Stop,
}

/// An entry of a menu, whose commands have not run yet.
pub(super) struct MenuItem {
    /// Its title.
    pub title: String,
    /// Its `--id`; empty without one.
    pub id: String,
    /// Whether it opens another menu.
    pub is_submenu: bool,
    /// Whether the menu does not show it.
    pub is_hidden: bool,
    /// `$1` and so on: its title, then its own arguments.
    pub arguments: Vec<String>,
    /// Its commands.
    pub body: MenuBody,
}

/// What a menu entry does.
pub(super) enum MenuBody {
    /// It runs these commands.
    Script(Script),
    /// It was read from another loader's configuration.
    Entry(Box<Entry>),
}

/// What is loaded for booting.
#[derive(Default)]
pub(super) struct Loaded {
    /// The kernel and its command line.
    pub kernel: Option<Module>,
    /// The initrds.
    pub initrds: Vec<String>,
    /// A multiboot kernel and its command line.
    pub multiboot: Option<Module>,
    /// Its modules.
    pub modules: Vec<Module>,
    /// Another loader, which may be a unified kernel image.
    pub chained: Option<Module>,
    /// The last kernel whose file is not there, if the script was told so: GRUB does not have it
    /// loaded.
    pub missing: Option<Module>,
}

impl Loaded {
    /// Whether `boot` would boot it.
    pub fn is_anything(&self) -> bool {
        self.kernel.is_some() || self.multiboot.is_some() || self.chained.is_some()
    }
}

/// The state of GRUB while it reads a configuration.
pub(super) struct Interpreter<'a, 'f> {
    pub files: &'a mut Files<'f>,
    pub variables: Variables,
    /// The entries of the menu that is being read.
    pub menu: Vec<MenuItem>,
    /// What the last commands loaded.
    pub loaded: Loaded,
    /// Whether `boot` ran with a kernel loaded.
    pub has_booted: bool,
    /// The last command that left GRUB, such as `exit`.
    pub left_by: Option<String>,
    /// Whether the menu being read is that of `configfile`, with a `default` of its own.
    pub has_own_menu: bool,
    /// What could not be followed, for the user.
    pub warnings: Vec<String>,
    functions: BTreeMap<String, Script>,
    /// `$1` and so on.
    parameters: Vec<String>,
    /// `$?`: whether the last command succeeded.
    status: Status,
    /// Whether unquoted `*` and `?` are patterns: the module "regexp" does that.
    has_patterns: bool,
    /// Whether variables such as `$YEAR` have the date: the module "datehook" does that.
    has_date: bool,
    /// Ids of the entries of the Boot Loader Specification that are in the menu.
    bls_shown: BTreeSet<String>,
    /// The entries of the directories that were read.
    bls_entries: BTreeMap<String, Rc<[GrubEntry]>>,
    /// Loops around the command that runs, within its function.
    loops: usize,
    /// Whether a function or a menu entry runs: `return` ends only these.
    is_in_body: bool,
    depth: usize,
    steps: usize,
    bytes: usize,
    /// Bytes that commands such as `cmp` can still read.
    examined: u64,
    /// Steps that patterns of `regexp` can still take.
    matching: usize,
}

impl<'a, 'f> Interpreter<'a, 'f> {
    pub fn new(files: &'a mut Files<'f>) -> Self {
        Self {
            files,
            variables: Variables::default(),
            menu: Vec::new(),
            loaded: Loaded::default(),
            has_booted: false,
            left_by: None,
            has_own_menu: false,
            warnings: Vec::new(),
            functions: BTreeMap::new(),
            parameters: Vec::new(),
            status: Status::Known(true),
            has_patterns: false,
            has_date: false,
            bls_shown: BTreeSet::new(),
            bls_entries: BTreeMap::new(),
            loops: 0,
            is_in_body: false,
            depth: 0,
            steps: STEPS,
            bytes: EXPANDED,
            examined: EXAMINED,
            matching: regexp::STEPS,
        }
    }

    /// Notes something for the user, once.
    pub fn warn(&mut self, text: impl Into<String>) {
        let text = text.into();
        if self.warnings.len() < WARNINGS && !self.warnings.contains(&text) {
            self.warnings.push(text);
        }
    }

    /// Takes bytes from the budget. Returns whether there were enough.
    pub fn charge(&mut self, bytes: usize) -> bool {
        let left = self.bytes.checked_sub(bytes);
        self.bytes = left.unwrap_or(0);
        if left.is_none() {
            self.warn("the configuration is too long: its end was not read");
        }
        left.is_some()
    }

    /// Runs the text of a file; `name` is for warnings.
    pub fn run_text(&mut self, text: &str, name: &str) -> Flow {
        let parsed = parse(&tokens(text));
        if let Some(line) = parsed.bad_lines.first() {
            self.warn(format!("{name}: syntax error in line {line}; the statement was skipped"));
        }
        self.run(&parsed.script)
    }

    /// Runs a menu entry's commands with its arguments as `$1` and so on.
    pub fn run_entry(&mut self, script: &Script, arguments: Vec<String>) -> Flow {
        self.parameters = arguments;
        self.is_in_body = true;
        let flow = self.run(script);
        self.is_in_body = false;
        flow
    }

    fn run(&mut self, script: &Script) -> Flow {
        if self.depth >= DEPTH {
            self.warn("the configuration is nested too deeply: not all of it was read");
            return Flow::Stop;
        }
        self.depth += 1;
        let mut flow = Flow::Next;
        for command in script.iter() {
            flow = self.command(command);
            if flow != Flow::Next {
                break;
            }
        }
        self.depth -= 1;
        flow
    }

    fn command(&mut self, command: &Command) -> Flow {
        let Some(steps) = self.steps.checked_sub(1) else {
            self.warn("the configuration runs too long: its end was not read");
            return Flow::Stop;
        };
        self.steps = steps;
        match command {
            Command::Simple { words, block } => self.simple(words, block.as_ref()),
            Command::If { branches, otherwise } => self.if_statement(branches, otherwise.as_ref()),
            Command::For { name, words, body } => {
                self.in_loop(|this| this.for_statement(name, words, body))
            }
            Command::While { is_until, condition, body } => {
                self.in_loop(|this| this.while_statement(*is_until, condition, body))
            }
            Command::Function { name, body } => {
                self.functions.insert(name.clone(), Rc::clone(body));
                Flow::Next
            }
        }
    }

    fn if_statement(&mut self, branches: &[(Script, Script)], otherwise: Option<&Script>) -> Flow {
        for (condition, body) in branches {
            match self.run(condition) {
                Flow::Next if self.has_succeeded() => return self.run(body),
                Flow::Next => {}
                other => return other,
            }
        }
        self.status = Status::Known(true);
        otherwise.map_or(Flow::Next, |body| self.run(body))
    }

    fn in_loop(&mut self, run: impl FnOnce(&mut Self) -> Flow) -> Flow {
        self.loops += 1;
        let flow = run(self);
        self.loops -= 1;
        flow
    }

    /// How many loops `break` or `continue` concerns, as GRUB counts them (`grub_script_break` in
    /// grub-core/script/execute.c): no more than there are. `None` if there is no such loop.
    pub fn loops_to_leave(&self, arguments: &[String]) -> Option<usize> {
        let count = match arguments {
            [] => 1,
            [count] => count.parse().ok()?,
            _ => return None,
        };
        Some(self.loops.min(count)).filter(|count| *count > 0)
    }

    fn for_statement(&mut self, name: &str, words: &[Word], body: &Script) -> Flow {
        let Some(values) = self.expand(words) else { return Flow::Stop };
        self.status = Status::Known(true);
        for value in values {
            self.variables.set(name, &value);
            match after_round(self.run(body)) {
                Flow::Next => {}
                Flow::Break(0) => break,
                other => return other,
            }
        }
        Flow::Next
    }

    fn while_statement(&mut self, is_until: bool, condition: &Script, body: &Script) -> Flow {
        loop {
            match self.run(condition) {
                Flow::Next if self.has_succeeded() == is_until => return Flow::Next,
                Flow::Next => {}
                Flow::Continue(1) => continue,
                other => match after_round(other) {
                    Flow::Break(0) => return Flow::Next,
                    other => return other,
                },
            }
            match after_round(self.run(body)) {
                Flow::Next => {}
                Flow::Break(0) => return Flow::Next,
                other => return other,
            }
        }
    }

    fn simple(&mut self, words: &[Word], block: Option<&Script>) -> Flow {
        self.warn_of_missing_options(words);
        let Some(mut words) = self.expand(words) else { return Flow::Stop };
        let is_negated = words.first().is_some_and(|word| word == "!");
        words.drain(..usize::from(is_negated));
        let Some((name, arguments)) = words.split_first() else {
            self.status = Status::Known(!is_negated);
            return Flow::Next;
        };
        let Some(flow) = self.named(name, arguments, block) else {
            self.assign(name);
            return Flow::Next;
        };
        if is_negated {
            self.status = Status::Known(!self.has_succeeded());
        }
        flow
    }

    /// What is neither a command nor a function is an assignment, or nothing. Either way it counts
    /// as true, also behind `!` (`grub_script_execute_cmdline` in grub-core/script/execute.c).
    fn assign(&mut self, name: &str) {
        let assignment = name.split_once('=');
        if let Some((variable, value)) = assignment.filter(|(variable, _)| !variable.is_empty()) {
            self.variables.set(variable, value);
        }
        self.status = match assignment {
            Some(_) => Status::Known(true),
            None => Status::Unknown(name.to_owned()),
        };
    }

    /// `$kernelopts` in a kernel's command line has the root device on RHEL 8 and its rebuilds:
    /// without a value, such a kernel does not find it.
    fn warn_of_missing_options(&mut self, words: &[Word]) {
        let is_kernel = words
            .first()
            .and_then(Word::plain)
            .is_some_and(|name| ["linux", "linux16", "linuxefi"].contains(&name));
        let is_missing = |word: &Word| word.has_variable("kernelopts");
        if is_kernel
            && self.variables.value("kernelopts").is_empty()
            && words.iter().any(is_missing)
        {
            self.warn(bls::missing("kernelopts"));
        }
    }

    /// Runs a command or a function. `None`: there is none of this name.
    fn named(&mut self, name: &str, arguments: &[String], block: Option<&Script>) -> Option<Flow> {
        self.files.root = self.variables.value("root").to_owned();
        if let "menuentry" | "submenu" | "hiddenentry" = name {
            self.status = Status::Known(self.add_item(name, arguments, block));
            return Some(Flow::Next);
        }
        // GRUB's own commands come before functions.
        if let Some(flow) = self.built_in(name, arguments) {
            return Some(flow);
        }
        let body = self.functions.get(name).cloned()?;
        Some(self.call(&body, arguments))
    }

    fn call(&mut self, body: &Script, arguments: &[String]) -> Flow {
        let outer = std::mem::replace(&mut self.parameters, arguments.to_vec());
        let loops = std::mem::take(&mut self.loops);
        let is_in_body = std::mem::replace(&mut self.is_in_body, true);
        let flow = self.run(body);
        (self.loops, self.is_in_body) = (loops, is_in_body);
        self.parameters = outer;
        if flow == Flow::Stop { Flow::Stop } else { Flow::Next }
    }

    fn add_item(&mut self, name: &str, arguments: &[String], block: Option<&Script>) -> bool {
        let options = EntryOptions::of(arguments);
        let body = match (options.source, block) {
            (None, Some(block)) => Rc::clone(block),
            (Some(source), None) => parse(&tokens(&source)).script,
            _ => {
                self.warn(format!("a {name} without a body was skipped"));
                return false;
            }
        };
        let (Some(title), true) = (options.own.first(), self.menu.len() < ENTRIES) else {
            return false;
        };
        self.menu.push(MenuItem {
            title: title.clone(),
            id: options.id,
            is_submenu: name == "submenu",
            is_hidden: name == "hiddenentry",
            arguments: options.own,
            body: MenuBody::Script(body),
        });
        true
    }
}

/// What a loop does after its body ended with `flow`: `Break(0)` leaves this loop.
fn after_round(flow: Flow) -> Flow {
    match flow {
        Flow::Break(count) if count <= 1 => Flow::Break(0),
        Flow::Break(count) => Flow::Break(count - 1),
        Flow::Continue(count) if count > 1 => Flow::Continue(count - 1),
        Flow::Next | Flow::Continue(_) => Flow::Next,
        other => other,
    }
}

/// The options of `menuentry` (GRUB's grub-core/commands/menuentry.c).
#[derive(Default)]
struct EntryOptions {
    id: String,
    source: Option<String>,
    /// What is neither an option nor an option's value: the title and the entry's own arguments.
    own: Vec<String>,
}

impl EntryOptions {
    fn of(arguments: &[String]) -> Self {
        const WITH_VALUE: [&str; 5] = ["class", "users", "hotkey", "source", "id"];
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let Some(option) = argument.strip_prefix("--") else {
                options.own.push(argument.clone());
                continue;
            };
            if option.is_empty() {
                options.own.extend(arguments.cloned());
                break;
            }
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None if WITH_VALUE.contains(&option) => (option, arguments.next().cloned()),
                None => (option, None),
            };
            match name {
                "id" => options.id = value.unwrap_or_default(),
                "source" => options.source = value,
                _ => {}
            }
        }
        options
    }
}
