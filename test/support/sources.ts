import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { ROOT, textOf } from './documents.js';

export function sourceFile(path: string): ts.SourceFile {
  return ts.createSourceFile(path, textOf(path), ts.ScriptTarget.ES2023, true);
}

export const messages = sourceFile('src/protocol/messages.ts');

/** An interface's members, each with its type where that is written. */
export function membersOf(name: string, source = messages): { name: string; type: ts.TypeNode | undefined }[] {
  const found = source.statements.find(
    (node): node is ts.InterfaceDeclaration => ts.isInterfaceDeclaration(node) && node.name.text === name,
  );
  if (found === undefined) throw new Error(`there is no interface ${name}`);
  return found.members
    .filter((member) => ts.isPropertySignature(member))
    .map((member) => ({ name: member.name.getText(source), type: member.type }));
}

/** The strings of a union type. */
export function wordsOf(name: string, source = messages): string[] {
  const found = source.statements.find(
    (node): node is ts.TypeAliasDeclaration => ts.isTypeAliasDeclaration(node) && node.name.text === name,
  );
  if (found === undefined || !ts.isUnionTypeNode(found.type)) throw new Error(`there is no union ${name}`);
  return found.type.types.map((type) => type.getText(source).replaceAll("'", ''));
}

export function filesIn(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return filesIn(path);
    return path.endsWith('.ts') ? [path] : [];
  });
}

/** The properties of an interface or a type of object types, also of those that it is made of, each once. */
export function propertiesOf(name: string, source: ts.SourceFile): string[] {
  const found = source.statements.find(
    (node) => (ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) && node.name.text === name,
  );
  if (found === undefined) throw new Error(`there is no type ${name}`);
  const names = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isPropertySignature(node)) names.add(node.name.getText(source));
    else ts.forEachChild(node, visit);
  };
  visit(found);
  return [...names];
}

/** `{ a, b? }` of an object type, `{}` of one without members; undefined where the data are the application's. */
export function shapeOf(type: ts.TypeNode | undefined): string | undefined {
  if (type?.getText() === 'Record<string, never>') return '{}';
  if (type === undefined || !ts.isTypeLiteralNode(type)) return undefined;
  const names = type.members
    .filter((member) => ts.isPropertySignature(member))
    .map((member) => `${member.name.getText()}${member.questionToken === undefined ? '' : '?'}`);
  return `{ ${names.join(', ')} }`;
}
