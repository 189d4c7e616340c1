/** C sources that are compiled at run time are embedded as text (`with { type: "text" }`). */
declare module "*.c" {
  const text: string;
  export default text;
}
