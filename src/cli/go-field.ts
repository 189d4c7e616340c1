/**
 * The key under which an object of the API has what Go's programs call `field`: docker's templates see `ID`, `APIVersion` and `MediaType` where the JSON
 * says `Id`, `ApiVersion` and `mediaType`. Undefined when no key, or more than one, differs in capitals only.
 */
export function goField(value: object, field: string): string | undefined {
  if (!/^[A-Z]/.test(field)) return undefined;
  const plain = field.toLowerCase();
  const keys = Object.keys(value).filter((key) => key.toLowerCase() === plain || key.replace(".", "").toLowerCase() === plain);
  return keys.length === 1 ? keys[0] : undefined;
}
