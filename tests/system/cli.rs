//! What users type, and what they get back.

use crate::home::Home;

#[test]
fn values_of_every_shape_are_read_and_printed() {
    let home = Home::alone();
    home.start();
    let check = |edit: &[&str], path: &str, expected: &str| {
        home.ok(&[&["edit", "n"], edit].concat());
        assert_eq!(home.ok(&["get", "n", path]), expected, "{edit:?}");
    };
    home.ok(&["edit", "n", "node.insert", "tag=Mesh", "size=2", "name=box", "label=big"]);
    check(&["number.add", "x", "-1.5e-3"], "x", "-0.0015");
    check(&["vector3.set", "p", "5", "5", "0"], "p", "[5,5,0]");
    check(&["vector3.set", "p", "[1,2,3]"], "p", "[1,2,3]");
    check(&["string.set", "s", "two words"], "s", "\"two words\"");
    check(&["string.concat", "s", "more", "separator=, "], "s", "\"two words, more\"");
    check(&["boolean.set", "b", "true"], "b", "true");
    check(&["color.set", "c", "#FF0000"], "c", "\"#ff0000\"");
    check(&["array.push", "a", "{\"k\":1}"], "a", "[{\"k\":1}]");
    check(&["array.push", "a", "plain"], "a", "[{\"k\":1},\"plain\"]");
    check(&["object.merge", "o", "{\"k\":[1,null]}"], "o", "{\"k\":[1,null]}");
    let node: serde_json::Value = serde_json::from_str(&home.ok(&["get", "n"])).unwrap();
    assert_eq!((&node["tag"], &node["name"]), (&"Mesh".into(), &"box".into()));
    assert_eq!(home.ok(&["get", "n", "size"]), "2");
    assert_eq!(home.ok(&["get", "n", "label"]), "\"big\"");
}

#[test]
fn several_edits_make_one_message() {
    let home = Home::alone();
    home.start();
    home.ok(&[
        "edit",
        "a",
        "node.insert",
        "+",
        "b",
        "node.insert",
        "parent=a",
        "+",
        "b",
        "string.set",
        "s",
        r"\+",
        "-m",
        "two",
    ]);
    assert_eq!(home.messages(), 1);
    assert_eq!(home.ok(&["get", "b", "s"]), "\"+\"");
    assert!(home.ok(&["log"]).contains("two"));
    home.ok(&["undo"]);
    assert_eq!(home.rtc(&["get", "a"]).code, 4);
}

#[test]
fn exit_codes_and_hints_are_stable() {
    let home = Home::alone();
    let check = |args: &[&str], code: i32| {
        let said = home.rtc(args);
        assert_eq!(said.code, code, "{args:?}: {said:?}");
        assert!(code == 0 || said.out.is_empty(), "nothing on stdout: {said:?}");
        assert!(code == 0 || !said.err.trim().is_empty(), "{said:?}");
    };
    check(&["status"], 3);
    home.start();
    check(&["frobnicate"], 2);
    check(&["get", "missing"], 4);
    check(&["edit", "missing", "number.set", "x", "1"], 4);
    home.ok(&["edit", "n", "node.insert"]);
    check(&["get", "n", "missing"], 4);
    check(&["edit", "n", "number.sett", "x", "1"], 2);
    check(&["edit", "n", "vector3.set", "x", "1", "2"], 2);
    check(&["undo", "nobody:1"], 4);
    check(&["join", "rtc1nonsense"], 1);
    check(&["--room", "nowhere", "tree"], 4);
    let said = home.rtc(&["edit", "n", "number.sett", "x", "1"]);
    assert!(said.err.contains("number.set"), "the nearest name is told: {said:?}");
}

#[test]
fn json_goes_in_and_out() {
    use std::io::Write;
    let home = Home::alone();
    home.start();
    let mut edit = home.command(&["edit", "-"]);
    let mut edit = edit.stdin(std::process::Stdio::piped()).spawn().expect("rtc edit runs");
    let lines = concat!(
        r#"{"key":"a","otype":"node.insert","tag":"Mesh","value":{"x":1}}"#,
        "\n",
        r#"[{"key":"b","otype":"node.insert","parentKey":"a"},{"key":"b","otype":"number.add","path":"y","value":2}]"#,
        "\n"
    );
    edit.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("it reads");
    assert!(edit.wait().expect("it ends").success());
    assert_eq!(home.messages(), 2);
    let export = home.ok(&["export"]);
    let graph: serde_json::Value = serde_json::from_str(&export).expect("JSON");
    assert_eq!(graph["nodes"]["a"]["children"], serde_json::json!(["b"]));
    let other = Home::alone();
    other.start();
    let file = other.path().join("scene.json");
    std::fs::write(&file, &export).unwrap();
    other.ok(&["import", file.to_str().unwrap()]);
    assert_eq!(other.ok(&["tree", "--props"]), home.ok(&["tree", "--props"]));
    for args in [&["status"][..], &["peers"], &["rooms"], &["get", "a"], &["ops"], &["log"]] {
        let out = home.ok(&[&["--json"], args].concat());
        let first: serde_json::Value =
            serde_json::from_str(out.lines().next().expect("a line")).expect("JSON");
        assert!(first["schema"].is_string(), "{args:?}: {out}");
    }
}

#[test]
fn a_retried_request_is_applied_once() {
    let home = Home::alone();
    home.start();
    home.ok(&["edit", "n", "node.insert"]);
    let places = rtc_client::Places::of_home(home.path()).expect("places");
    let client = rtc_client::blocking::Client::connect(&places).expect("the daemon");
    let ask = || {
        let op = rtc_core::api::EditOp {
            otype: "number.add".into(),
            key: "n".into(),
            path: Some("x".into()),
            value: rtc_core::value::Value::number(1.0),
            ..Default::default()
        };
        let edit = rtc_core::api::Edit { ops: vec![op], request: Some("once".into()), ..Default::default() };
        match client.ask(rtc_core::api::Ask::Edit(edit)) {
            Ok(rtc_core::api::Reply::Edited(edited)) => edited,
            other => panic!("{other:?}"),
        }
    };
    let (first, second) = (ask(), ask());
    assert_eq!(first.id, second.id);
    assert!(!first.repeated && second.repeated);
    assert_eq!(home.ok(&["get", "n", "x"]), "1");
    home.kill();
    home.start();
    let client = rtc_client::blocking::Client::connect(&places).expect("the daemon");
    drop(client);
    assert_eq!(home.ok(&["get", "n", "x"]), "1");
}
