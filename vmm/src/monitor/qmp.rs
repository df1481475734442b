//! QMP, QEMU's monitor protocol: JSON objects in both directions (docs/interop/qmp-spec.rst in
//! QEMU's source). The messages of errors are QEMU's (`qmp_dispatch`, qapi/qmp-dispatch.c).

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::{Command, Status};
use crate::config::QEMU_VERSION;

/// The commands, without those that chukka does not have.
const COMMANDS: [&str; 11] = [
    "qmp_capabilities",
    "query-commands",
    "query-kvm",
    "query-name",
    "query-status",
    "query-version",
    "quit",
    "stop",
    "cont",
    "system_powerdown",
    "system_reset",
];

/// What to do, and what to answer then.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    pub command: Option<Command>,
    pub reply: Value,
}

/// The arguments of a command.
type Arguments<'a> = Option<&'a Map<String, Value>>;

/// An error: its class and its description.
type Failure = (&'static str, String);

/// What a client gets when it connects.
pub(super) fn greeting() -> Value {
    json!({ "QMP": { "version": version(), "capabilities": [] } })
}

/// An event. What a client is told of that it has not asked for.
pub(super) fn event(name: &str, data: Option<Value>) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let timestamp = json!({ "seconds": now.as_secs(), "microseconds": now.subsec_micros() });
    let mut event = json!({ "timestamp": timestamp, "event": name });
    if let Some(data) = data {
        event["data"] = data;
    }
    event
}

/// Takes the complete requests out of what was received. What is no JSON is an error for the
/// client, and what comes after it is dropped.
pub(super) fn take_requests(received: &mut Vec<u8>) -> Vec<Result<Value, Value>> {
    let mut requests = Vec::new();
    let mut values = serde_json::Deserializer::from_slice(received).into_iter::<Value>();
    let consumed = loop {
        match values.next() {
            Some(Ok(value)) => requests.push(Ok(value)),
            // More of it may come.
            Some(Err(error)) if error.is_eof() => break values.byte_offset(),
            Some(Err(error)) => {
                let failure = ("GenericError", format!("JSON parse error, {error}"));
                requests.push(Err(failed(failure, None)));
                break received.len();
            }
            None => break received.len(),
        }
    };
    received.drain(..consumed);
    requests
}

/// Answers a request. `is_ready` says whether the client has done its first duty, the command
/// `qmp_capabilities`.
pub(super) fn answer(request: &Value, is_ready: &mut bool, status: &Status) -> Answer {
    let id = request.get("id");
    match run(request, is_ready, status) {
        Ok((command, value)) => {
            let mut reply = json!({ "return": value });
            if let Some(id) = id {
                reply["id"] = id.clone();
            }
            Answer { command, reply }
        }
        Err(failure) => Answer { command: None, reply: failed(failure, id) },
    }
}

fn failed((class, text): Failure, id: Option<&Value>) -> Value {
    let mut reply = json!({ "error": { "class": class, "desc": text } });
    if let Some(id) = id {
        reply["id"] = id.clone();
    }
    reply
}

fn run(
    request: &Value,
    is_ready: &mut bool,
    status: &Status,
) -> Result<(Option<Command>, Value), Failure> {
    let generic = |text: String| ("GenericError", text);
    let request =
        request.as_object().ok_or_else(|| generic("QMP input must be a JSON object".into()))?;
    let (name, arguments) = parts(request).map_err(generic)?;
    let known = COMMANDS.contains(&name);
    let not_found = |text: String| ("CommandNotFound", text);
    if !known {
        return Err(not_found(format!("The command {name} has not been found")));
    }
    if name == "qmp_capabilities" {
        if *is_ready {
            let text = "Capabilities negotiation is already complete, command ignored";
            return Err(not_found(text.into()));
        }
        enable(arguments).map_err(generic)?;
        *is_ready = true;
        return Ok((None, json!({})));
    }
    if !*is_ready {
        let text = "Expecting capabilities negotiation with 'qmp_capabilities'";
        return Err(not_found(text.into()));
    }
    if let Some(key) = arguments.and_then(|arguments| arguments.keys().next()) {
        return Err(generic(format!("Parameter '{key}' is unexpected")));
    }
    let command = |command| Ok((Some(command), json!({})));
    match name {
        "quit" => command(Command::Quit),
        "stop" => command(Command::Stop),
        "cont" => command(Command::Continue),
        "system_powerdown" => command(Command::PowerDown),
        "system_reset" => command(Command::Reset),
        "query-commands" => {
            Ok((None, COMMANDS.iter().map(|name| json!({ "name": name })).collect()))
        }
        "query-kvm" => Ok((None, json!({ "enabled": true, "present": true }))),
        "query-name" => {
            Ok((None, status.name.as_ref().map_or(json!({}), |name| json!({ "name": name }))))
        }
        "query-status" => {
            let running = !status.is_paused();
            let reply = json!({
                "status": status.word(), "running": running, "singlestep": false,
            });
            Ok((None, reply))
        }
        _ => Ok((None, version())),
    }
}

/// The name and the arguments of a request.
fn parts(request: &Map<String, Value>) -> Result<(&str, Arguments<'_>), String> {
    let mut arguments = None;
    for (key, value) in request {
        match key.as_str() {
            "execute" | "id" => {}
            "arguments" => {
                let expected = || "QMP input member 'arguments' must be an object".to_owned();
                arguments = Some(value.as_object().ok_or_else(expected)?);
            }
            // Out of band: chukka does not offer it.
            _ => return Err(format!("QMP input member '{key}' is unexpected")),
        }
    }
    let name = request.get("execute").ok_or("QMP input lacks member 'execute'")?;
    let name = name.as_str().ok_or("QMP input member 'execute' must be a string")?;
    Ok((name, arguments))
}

/// `qmp_capabilities`: there is none to enable.
fn enable(arguments: Arguments<'_>) -> Result<(), String> {
    for (key, value) in arguments.into_iter().flatten() {
        let wanted = match (key.as_str(), value) {
            ("enable", Value::Array(wanted)) => wanted.first(),
            ("enable", _) => {
                return Err("Invalid parameter type for 'enable', expected: array".into());
            }
            _ => return Err(format!("Parameter '{key}' is unexpected")),
        };
        if let Some(wanted) = wanted {
            let wanted = wanted.as_str().unwrap_or_default();
            return Err(format!("Capability {wanted} not available"));
        }
    }
    Ok(())
}

fn version() -> Value {
    let [major, minor, micro] = QEMU_VERSION;
    json!({
        "qemu": { "major": major, "minor": minor, "micro": micro },
        "package": concat!(" (chukka ", env!("CARGO_PKG_VERSION"), ")"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(text: &str, is_ready: &mut bool) -> Answer {
        let mut received = text.as_bytes().to_vec();
        let requests = take_requests(&mut received);
        assert!(received.is_empty());
        match requests.as_slice() {
            [Ok(request)] => answer(request, is_ready, &Status::default()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_first_command_negotiates() {
        let mut is_ready = false;
        let first = ask(r#"{"execute":"query-status"}"#, &mut is_ready);
        assert_eq!(
            first.reply,
            json!({ "error": {
                "class": "CommandNotFound",
                "desc": "Expecting capabilities negotiation with 'qmp_capabilities'",
            }})
        );
        let oob = r#"{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}"#;
        assert_eq!(ask(oob, &mut is_ready).reply["error"]["desc"], "Capability oob not available");
        assert!(!is_ready);
        let empty = r#"{"execute":"qmp_capabilities","arguments":{"enable":[]},"id":[1]}"#;
        assert_eq!(ask(empty, &mut is_ready).reply, json!({ "return": {}, "id": [1] }));
        assert!(is_ready);
        let again = ask(r#"{"execute":"qmp_capabilities"}"#, &mut is_ready);
        assert_eq!(again.reply["error"]["class"], "CommandNotFound");
    }

    #[test]
    fn every_command_is_listed_and_has_an_answer() {
        let mut is_ready = true;
        let listed = ask(r#"{"execute":"query-commands"}"#, &mut is_ready).reply;
        for name in listed["return"].as_array().expect("a list") {
            let request = json!({ "execute": name["name"], "id": "x" });
            let found = answer(&request, &mut is_ready, &Status::default());
            let negotiates = name["name"] == "qmp_capabilities";
            assert_eq!(found.reply.get("error").is_some(), negotiates, "{found:?}");
            assert_eq!(found.reply["id"], "x");
        }
    }

    #[test]
    fn commands_do_what_their_names_say() {
        let status = Status { name: Some("web".into()), ..Status::default() };
        let paused = Status { paused: true, ..Status::default() };
        let awaiting = Status { awaited: 1, ..Status::default() };
        for (status, name, command, value) in [
            (&status, "quit", Some(Command::Quit), json!({})),
            (&status, "stop", Some(Command::Stop), json!({})),
            (&status, "cont", Some(Command::Continue), json!({})),
            (&status, "system_powerdown", Some(Command::PowerDown), json!({})),
            (&status, "system_reset", Some(Command::Reset), json!({})),
            (&status, "query-kvm", None, json!({ "enabled": true, "present": true })),
            (&status, "query-name", None, json!({ "name": "web" })),
            (&paused, "query-name", None, json!({})),
            (
                &status,
                "query-status",
                None,
                json!({ "status": "running", "running": true, "singlestep": false }),
            ),
            (
                &paused,
                "query-status",
                None,
                json!({ "status": "paused", "running": false, "singlestep": false }),
            ),
            (
                &awaiting,
                "query-status",
                None,
                json!({ "status": "prelaunch", "running": false, "singlestep": false }),
            ),
        ] {
            let found = answer(&json!({ "execute": name }), &mut true, status);
            assert_eq!((found.command, &found.reply["return"]), (command, &value), "{name}");
        }
        let version = answer(&json!({ "execute": "query-version" }), &mut true, &status).reply;
        assert_eq!(version["return"]["qemu"]["major"], QEMU_VERSION[0]);
    }

    #[test]
    fn the_only_argument_of_the_negotiation_is_a_list() {
        for (arguments, description) in [
            (json!({ "enable": 1 }), "Invalid parameter type for 'enable', expected: array"),
            (json!({ "disable": [] }), "Parameter 'disable' is unexpected"),
        ] {
            let mut is_ready = false;
            let request = json!({ "execute": "qmp_capabilities", "arguments": arguments });
            let found = answer(&request, &mut is_ready, &Status::default());
            assert_eq!(found.reply["error"]["desc"], description);
            assert!(!is_ready);
        }
    }

    #[test]
    fn mistakes_are_answered_as_qemu_answers_them() {
        for (request, class, description) in [
            ("[]", "GenericError", "QMP input must be a JSON object"),
            ("{}", "GenericError", "QMP input lacks member 'execute'"),
            (r#"{"execute":1}"#, "GenericError", "QMP input member 'execute' must be a string"),
            (r#"{"execute":"x"}"#, "CommandNotFound", "The command x has not been found"),
            (r#"{"exec-oob":"x"}"#, "GenericError", "QMP input member 'exec-oob' is unexpected"),
            (
                r#"{"execute":"stop","arguments":1}"#,
                "GenericError",
                "QMP input member 'arguments' must be an object",
            ),
            (
                r#"{"execute":"stop","arguments":{"now":true}}"#,
                "GenericError",
                "Parameter 'now' is unexpected",
            ),
        ] {
            let found = ask(request, &mut true);
            let expected = json!({ "error": { "class": class, "desc": description } });
            assert_eq!((found.command, found.reply), (None, expected), "{request}");
        }
    }

    #[test]
    fn requests_come_in_any_pieces() {
        let text = br#" {"execute":"stop"}{"execute" : "cont"}
            {"execute":"quit"}"#;
        for cut in 0..text.len() {
            let mut received = text[..cut].to_vec();
            let mut found = take_requests(&mut received);
            received.extend(&text[cut..]);
            found.extend(take_requests(&mut received));
            let names: Vec<_> = found
                .iter()
                .map(|request| request.as_ref().expect("JSON")["execute"].as_str())
                .collect();
            assert_eq!(names, [Some("stop"), Some("cont"), Some("quit")], "{cut}");
        }
    }

    #[test]
    fn what_is_not_json_is_dropped_and_told() {
        let mut received = b"{\"execute\":\"stop\"} what {\"execute\":\"quit\"}".to_vec();
        let found = take_requests(&mut received);
        assert!(found[0].is_ok());
        let error = found[1].as_ref().expect_err("no JSON");
        assert_eq!(error["error"]["class"], "GenericError");
        assert_eq!((found.len(), received.len()), (2, 0));
    }
}
