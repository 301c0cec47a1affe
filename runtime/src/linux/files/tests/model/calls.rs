//! The model's calls, as their manual pages tell them.

use std::collections::BTreeMap;

use super::super::operations::{Answer, Operation, World};
use super::super::*;
use super::{Kind, LIMIT, Model, On, Open, QUOTA, Spot};

impl Model {
    fn open_at(&mut self, at: i32, path: &[u8], flags: u32, mode: u32) -> Result<i32, Errno> {
        let has = |flag| flags & flag != 0;
        if has(O_CREAT) && has(O_DIRECTORY) {
            return Err(Errno::INVAL);
        }
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        let fd = self.free(0)?;
        let (parent, name, slash, node) = self.walk(at, path)?;
        if has(O_CREAT) && slash && name.is_some() {
            return Err(Errno::ISDIR);
        }
        let node = match (node, name) {
            (None, Some(name)) if has(O_CREAT) => self.make(parent, &name, Kind::File(Vec::new()), mode)?,
            (None, _) => return Err(Errno::NOENT),
            (Some(_), _) if has(O_CREAT) && has(O_EXCL) => return Err(Errno::EXIST),
            (Some(node), _) => {
                let directory = self.names(node).is_ok();
                let access = [4, 2, 6, 6][(flags & 3) as usize] | if has(O_TRUNC) { 2 } else { 0 };
                if directory && (has(O_CREAT) || access & 2 != 0) {
                    return Err(Errno::ISDIR);
                }
                if !directory && (slash || has(O_DIRECTORY)) {
                    return Err(Errno::NOTDIR);
                }
                self.check(node, access)?;
                if let (Kind::File(contents), true) = (&mut self.nodes[node].kind, has(O_TRUNC)) {
                    contents.clear();
                }
                node
            }
        };
        let status = flags & !(O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC) | O_LARGEFILE;
        self.opens.push(Open { on: On::Node(node), status, offset: 0 });
        self.table.insert(fd, (self.opens.len() - 1, has(O_CLOEXEC)));
        Ok(fd)
    }

    fn stat(&self, on: On) -> Answer {
        let On::Node(id) = on else {
            return Answer::Stat(0o010_600, 1, None);
        };
        let node = &self.nodes[id];
        let (kind, links, size) = match &node.kind {
            Kind::File(contents) => (S_IFREG, node.names, Some(contents.len() as i64)),
            Kind::Directory(names) => (S_IFDIR, 2 + names.values().filter(|n| self.names(**n).is_ok()).count(), None),
            Kind::Device => (S_IFCHR, node.names, None),
        };
        Answer::Stat(kind | node.mode, if node.names > 0 { links as u64 } else { 0 }, size)
    }

    fn read(&self, fd: i32, at: Option<i64>, limit: usize) -> Result<Vec<u8>, Errno> {
        if at.is_some_and(|at| at < 0) {
            return Err(Errno::INVAL);
        }
        let open = self.open(fd)?;
        if at.is_some() && open.on == On::Stream {
            return Err(Errno::SPIPE);
        }
        if open.status & 1 != 0 {
            return Err(Errno::BADF);
        }
        let at = at.unwrap_or(open.offset);
        at.checked_add(limit as i64).ok_or(Errno::INVAL)?;
        let On::Node(node) = open.on else { return Ok(Vec::new()) };
        match &self.nodes[node].kind {
            Kind::Directory(_) => Err(Errno::ISDIR),
            Kind::File(contents) => Ok(contents.iter().copied().skip(at as usize).take(limit).collect()),
            Kind::Device => Ok(vec![0; limit]),
        }
    }

    fn write(&mut self, fd: i32, at: Option<i64>, bytes: &[u8]) -> Result<usize, Errno> {
        if at.is_some_and(|at| at < 0) {
            return Err(Errno::INVAL);
        }
        let (left, _) = self.room();
        let open = self.open(fd)?;
        if at.is_some() && open.on == On::Stream {
            return Err(Errno::SPIPE);
        }
        if !matches!(open.status & 3, 1 | 2) {
            return Err(Errno::BADF);
        }
        let start = at.unwrap_or(open.offset);
        let (On::Node(node), append) = (open.on, open.status & O_APPEND != 0) else {
            return Ok(bytes.len());
        };
        let Kind::File(contents) = &mut self.nodes[node].kind else {
            return Ok(bytes.len());
        };
        start.checked_add(bytes.len() as i64).ok_or(Errno::INVAL)?;
        let start = if append { contents.len() } else { start as usize };
        if bytes.is_empty() {
            return Ok(0);
        }
        if start >= QUOTA.bytes {
            return Err(Errno::FBIG);
        }
        let fits = (contents.len() + left).saturating_sub(start).min(bytes.len());
        if fits == 0 {
            return Err(Errno::NOSPC);
        }
        contents.resize(contents.len().max(start + fits), 0);
        contents[start..start + fits].copy_from_slice(&bytes[..fits]);
        if at.is_none() {
            self.open_mut(fd).offset = (start + fits) as i64;
        }
        Ok(fits)
    }

    fn seek(&mut self, fd: i32, offset: i64, whence: u32) -> Result<i64, Errno> {
        let (on, old) = self.open(fd).map(|open| (open.on, open.offset))?;
        let On::Node(node) = on else {
            return Err(if whence > 4 { Errno::INVAL } else { Errno::SPIPE });
        };
        let size = match &self.nodes[node].kind {
            _ if whence > 4 => return Err(Errno::INVAL),
            Kind::Device => return Ok(0),
            Kind::Directory(_) if whence > 1 => return Err(Errno::INVAL),
            Kind::Directory(_) => 0,
            Kind::File(contents) => contents.len() as i64,
        };
        let new = match whence {
            3 | 4 if offset < 0 || offset >= size => return Err(Errno::NXIO),
            3 => offset,
            4 => size,
            _ => [0, old, size][whence as usize].checked_add(offset).filter(|new| *new >= 0).ok_or(Errno::INVAL)?,
        };
        self.open_mut(fd).offset = new;
        Ok(new)
    }

    fn truncate(&mut self, fd: i32, length: i64) -> Result<(), Errno> {
        let (left, _) = self.room();
        if length < 0 {
            return Err(Errno::INVAL);
        }
        let open = self.open(fd)?;
        let (On::Node(node), 1 | 2) = (open.on, open.status & 3) else {
            return Err(Errno::INVAL);
        };
        let Kind::File(contents) = &mut self.nodes[node].kind else {
            return Err(Errno::INVAL);
        };
        if length as usize > QUOTA.bytes {
            return Err(Errno::FBIG);
        }
        if length as usize > contents.len() + left {
            return Err(Errno::NOSPC);
        }
        contents.resize(length as usize, 0);
        Ok(())
    }

    fn unlink(&mut self, at: i32, path: &[u8], flags: u32) -> Result<(), Errno> {
        if flags & !AT_REMOVEDIR != 0 {
            return Err(Errno::INVAL);
        }
        let rmdir = flags != 0;
        let (parent, name, slash, node) = self.walk(at, path)?;
        let Some(name) = name else {
            let last = path.split(|byte| *byte == b'/').rfind(|name| !name.is_empty());
            return Err(match last {
                _ if !rmdir => Errno::ISDIR,
                None => Errno::BUSY,
                Some(b".") => Errno::INVAL,
                Some(_) => Errno::NOTEMPTY,
            });
        };
        let node = node.ok_or(Errno::NOENT)?;
        let directory = self.names(node).is_ok();
        if slash && !rmdir {
            return Err(if directory { Errno::ISDIR } else { Errno::NOTDIR });
        }
        self.check(parent, 3)?;
        match (rmdir, self.names(node)) {
            (true, Err(_)) => return Err(Errno::NOTDIR),
            (true, Ok(names)) if !names.is_empty() => return Err(Errno::NOTEMPTY),
            (false, Ok(_)) => return Err(Errno::ISDIR),
            _ => {}
        }
        self.names_mut(parent).remove(&name);
        self.nodes[node].names -= 1;
        Ok(())
    }

    /// Where a name is, and what is there: for calls with two of them.
    fn name(&self, (at, path): (i32, &[u8])) -> Result<Spot, Errno> {
        let trimmed = path.strip_suffix(b"/").unwrap_or(path);
        let split = trimmed.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        let (before, last) = trimmed.split_at(split);
        let parent = if before.is_empty() && path.starts_with(b"/") {
            0
        } else {
            self.find(at, if before.is_empty() { b"./" } else { before })?
        };
        // Where there is no component, nothing is looked up.
        if !last.is_empty() {
            self.check(parent, 1)?;
        }
        let name = (!matches!(last, b"" | b"." | b"..")).then(|| last.to_vec());
        let node = name.as_ref().and_then(|name| self.names(parent).ok()?.get(name).copied());
        Ok((parent, name, path.ends_with(b"/"), node))
    }

    /// Whether `above` is `node` or on its way up.
    fn is_above(&self, above: usize, mut node: usize) -> bool {
        while node != above && node != 0 {
            node = self.nodes[node].parent;
        }
        node == above
    }

    fn rename(&mut self, from: (i32, &[u8]), to: (i32, &[u8]), flags: u32) -> Result<(), Errno> {
        if flags > 2 {
            return Err(Errno::INVAL);
        }
        let (exchange, no_replace) = (flags == 2, flags == 1);
        let (parent, name, slash, node) = self.name(from)?;
        let (new_parent, new_name, new_slash, old) = self.name(to)?;
        let name = name.ok_or(Errno::BUSY)?;
        let new_name = new_name.ok_or(if no_replace { Errno::EXIST } else { Errno::BUSY })?;
        let node = node.ok_or(Errno::NOENT)?;
        if self.nodes[new_parent].names == 0 {
            return Err(Errno::NOENT);
        }
        let is_directory = |node: usize| self.names(node).is_ok();
        match old {
            Some(_) if no_replace => return Err(Errno::EXIST),
            None if exchange => return Err(Errno::NOENT),
            Some(old) if exchange && new_slash && !is_directory(old) => return Err(Errno::NOTDIR),
            _ => {}
        }
        if !is_directory(node) && (slash || new_slash && !exchange) {
            return Err(Errno::NOTDIR);
        }
        if is_directory(node) && self.is_above(node, new_parent) {
            return Err(Errno::INVAL);
        }
        if old.is_some_and(|old| is_directory(old) && self.is_above(old, parent)) {
            return Err(if exchange { Errno::INVAL } else { Errno::NOTEMPTY });
        }
        if old == Some(node) {
            return Ok(());
        }
        self.check(parent, 3)?;
        self.check(new_parent, 3)?;
        if let (Some(old), false) = (old, exchange) {
            match (is_directory(node), is_directory(old)) {
                (true, false) => return Err(Errno::NOTDIR),
                (false, true) => return Err(Errno::ISDIR),
                _ => {}
            }
        }
        let moving = [Some(node), old.filter(|_| exchange)];
        for moving in moving.into_iter().flatten().filter(|moving| parent != new_parent && is_directory(*moving)) {
            self.check(moving, 2)?;
        }
        if let (Some(old), true) = (old, exchange) {
            self.names_mut(parent).insert(name, old);
            self.names_mut(new_parent).insert(new_name, node);
            (self.nodes[node].parent, self.nodes[old].parent) = (new_parent, parent);
            return Ok(());
        }
        match old {
            Some(old) if self.names(old).is_ok_and(|names| !names.is_empty()) => return Err(Errno::NOTEMPTY),
            None if new_name.len() > self.room().0 + name.len() => return Err(Errno::NOSPC),
            _ => {}
        }
        self.names_mut(parent).remove(&name);
        self.names_mut(new_parent).insert(new_name, node);
        self.nodes[node].parent = new_parent;
        if let Some(old) = old {
            self.nodes[old].names -= 1;
        }
        Ok(())
    }

    fn link(&mut self, from: (i32, &[u8]), to: (i32, &[u8])) -> Result<(), Errno> {
        let node = self.find(from.0, from.1)?;
        let (parent, Some(name), slash, None) = self.walk(to.0, to.1)? else {
            return Err(Errno::EXIST);
        };
        if slash || self.nodes[parent].names == 0 {
            return Err(Errno::NOENT);
        }
        self.check(parent, 3)?;
        if self.names(node).is_ok() {
            return Err(Errno::PERM);
        }
        let (bytes, inodes) = self.room();
        if inodes == 0 || bytes < name.len() {
            return Err(Errno::NOSPC);
        }
        self.names_mut(parent).insert(name, node);
        self.nodes[node].names += 1;
        Ok(())
    }

    fn resize(&mut self, node: usize, length: usize) -> Result<(), Errno> {
        let (left, _) = self.room();
        let Kind::File(contents) = &mut self.nodes[node].kind else {
            return Err(Errno::INVAL);
        };
        if length > contents.len() && length > QUOTA.bytes {
            return Err(Errno::FBIG);
        }
        if length > contents.len() + left {
            return Err(Errno::NOSPC);
        }
        contents.resize(length, 0);
        Ok(())
    }

    fn allocate(&mut self, fd: i32, mode: u32, offset: i64, length: i64) -> Result<(), Errno> {
        let open = self.open(fd)?;
        if offset < 0 || length <= 0 {
            return Err(Errno::INVAL);
        }
        if mode > 1 {
            return Err(Errno::OPNOTSUPP);
        }
        let (on, 1 | 2) = (open.on, open.status & 3) else {
            return Err(Errno::BADF);
        };
        let On::Node(node) = on else { return Err(Errno::SPIPE) };
        let old = match &self.nodes[node].kind {
            Kind::File(contents) => contents.len(),
            Kind::Directory(_) => return Err(Errno::ISDIR),
            Kind::Device => return Err(Errno::NODEV),
        };
        let end = offset.checked_add(length).ok_or(Errno::FBIG)? as usize;
        if end > QUOTA.bytes {
            return Err(Errno::FBIG);
        }
        if mode == 1 && end <= old + self.room().0 {
            return Ok(());
        }
        self.resize(node, end.max(old))
    }

    fn getcwd(&self) -> Result<Vec<u8>, Errno> {
        let (mut path, mut node) = (Vec::new(), self.current);
        if self.nodes[node].names == 0 {
            return Err(Errno::NOENT);
        }
        while node != 0 {
            let parent = self.nodes[node].parent;
            let name = self.names(parent)?.iter().find(|(_, child)| **child == node).unwrap().0;
            path = [b"/", name.as_slice(), path.as_slice()].concat();
            node = parent;
        }
        Ok(if path.is_empty() { b"/".to_vec() } else { path })
    }

    fn dup(&mut self, old: i32, new: i32, cloexec: bool) -> Result<i32, Errno> {
        let (open, _) = *self.table.get(&old).ok_or(Errno::BADF)?;
        self.table.insert(new, (open, cloexec));
        Ok(new)
    }

    fn enter(&mut self, on: On) -> Result<(), Errno> {
        let On::Node(node) = on else { return Err(Errno::NOTDIR) };
        self.names(node)?;
        self.check(node, 1)?;
        self.current = node;
        Ok(())
    }
}

impl World for Model {
    fn apply(&mut self, operation: &Operation) -> Result<Answer, Errno> {
        use Operation::*;
        let done = |()| Answer::Done;
        let number = |number: i32| Answer::Number(number.into());
        match operation {
            Open { at, path, flags, mode } => self.open_at(*at, path, *flags, *mode).map(number),
            Close(fd) => self.table.remove(fd).map(|_| Answer::Done).ok_or(Errno::BADF),
            Dup(fd) => {
                self.open(*fd)?;
                self.dup(*fd, self.free(0)?, false).map(number)
            }
            Dup2(old, new) if old == new => self.open(*old).map(|_| number(*new)),
            Dup3(old, new, flags) if old == new || *flags == 1 => Err(Errno::INVAL),
            Dup2(_, new) | Dup3(_, new, _) if !(0..LIMIT).contains(new) => Err(Errno::BADF),
            Dup2(old, new) => self.dup(*old, *new, false).map(number),
            Dup3(old, new, flags) => self.dup(*old, *new, *flags != 0).map(number),
            Fcntl(fd, command, argument) => {
                let status = self.open(*fd)?.status;
                match command {
                    0 | 1030 if *argument >= LIMIT as u64 => Err(Errno::INVAL),
                    0 | 1030 => self.dup(*fd, self.free(*argument as i32)?, *command != 0).map(number),
                    1 => Ok(number(self.table[fd].1.into())),
                    2 => {
                        self.table.get_mut(fd).unwrap().1 = argument & 1 != 0;
                        Ok(number(0))
                    }
                    3 => Ok(number(status as i32)),
                    4 => {
                        self.open_mut(*fd).status = status & !0o6000 | *argument as u32 & 0o6000;
                        Ok(number(0))
                    }
                    _ => Err(Errno::INVAL),
                }
            }
            Read(fd, limit) => {
                let bytes = self.read(*fd, None, *limit)?;
                if let On::Node(node) = self.open(*fd)?.on
                    && let Kind::File(_) = self.nodes[node].kind
                {
                    self.open_mut(*fd).offset += bytes.len() as i64;
                }
                Ok(Answer::Bytes(bytes))
            }
            ReadAt(fd, offset, limit) => self.read(*fd, Some(*offset), *limit).map(Answer::Bytes),
            Write(fd, bytes) => self.write(*fd, None, bytes).map(|count| Answer::Number(count as i64)),
            WriteAt(fd, at, bytes) => self.write(*fd, Some(*at), bytes).map(|count| Answer::Number(count as i64)),
            Seek(fd, offset, whence) => self.seek(*fd, *offset, *whence).map(Answer::Number),
            Truncate(fd, length) => self.truncate(*fd, *length).map(done),
            Stat(fd) => self.open(*fd).map(|open| self.stat(open.on)),
            StatAt { flags: 1, .. } => Err(Errno::INVAL),
            StatAt { at: AT_FDCWD, path, flags: AT_EMPTY_PATH } if path.is_empty() => {
                Ok(self.stat(On::Node(self.current)))
            }
            StatAt { at, path, flags: AT_EMPTY_PATH } if path.is_empty() => {
                self.open(*at).map(|open| self.stat(open.on))
            }
            StatAt { at, path, .. } => self.find(*at, path).map(|node| self.stat(On::Node(node))),
            Access { mode: 8.., .. } => Err(Errno::INVAL),
            Access { at, path, mode } => self.check(self.find(*at, path)?, *mode).map(done),
            Readlink { at, path } => self.find(*at, path).and(Err(Errno::INVAL)),
            Mkdir { at, path, mode } => match self.walk(*at, path)? {
                (parent, Some(name), _, None) => {
                    self.make(parent, &name, Kind::Directory(BTreeMap::new()), *mode).map(|_| Answer::Done)
                }
                _ => Err(Errno::EXIST),
            },
            Unlink { at, path, flags } => self.unlink(*at, path, *flags).map(done),
            Rename { from, to, flags } => self.rename((from.0, &from.1), (to.0, &to.1), *flags).map(done),
            Link { flags: 1, .. } => Err(Errno::INVAL),
            Link { from, to, .. } => self.link((from.0, &from.1), (to.0, &to.1)).map(done),
            Symlink { .. } => panic!("the model has no symlinks"),
            Chmod { flags: 1, .. } => Err(Errno::INVAL),
            Chmod { at, path, mode, .. } => {
                let node = self.find(*at, path)?;
                self.nodes[node].mode = *mode;
                Ok(Answer::Done)
            }
            TruncatePath(_, ..0) => Err(Errno::INVAL),
            TruncatePath(path, length) => {
                let node = self.find(AT_FDCWD, path)?;
                match self.nodes[node].kind {
                    Kind::Directory(_) => return Err(Errno::ISDIR),
                    Kind::Device => return Err(Errno::INVAL),
                    Kind::File(_) => {}
                }
                self.check(node, 2)?;
                self.resize(node, *length as usize).map(done)
            }
            Allocate(fd, mode, offset, length) => self.allocate(*fd, *mode, *offset, *length).map(done),
            Chdir(path) => self.find(AT_FDCWD, path).and_then(|node| self.enter(On::Node(node))).map(done),
            Fchdir(fd) => self.open(*fd).map(|open| open.on).and_then(|on| self.enter(on)).map(done),
            Getcwd => self.getcwd().map(Answer::Bytes),
            List(fd) => {
                let On::Node(node) = self.open(*fd)?.on else {
                    return Err(Errno::NOTDIR);
                };
                self.names(node)?;
                self.open_mut(*fd).offset = 0;
                if self.nodes[node].names == 0 {
                    return Err(Errno::NOENT);
                }
                let dots = [b".".to_vec(), b"..".to_vec()];
                let mut names: Vec<_> = dots.into_iter().chain(self.names(node)?.keys().cloned()).collect();
                names.sort();
                Ok(Answer::Names(names))
            }
        }
    }
}
