pub(crate) fn open(
    file: std::rc::Rc<dyn crate::source::RandomAccess>,
) -> Result<std::rc::Rc<dyn crate::source::RandomAccess>, crate::source::SourceError> {
    Err(crate::source::SourceError::Kind {
        name: file.name().into(),
        found: "a file",
        expected: "a directory",
    })
}
