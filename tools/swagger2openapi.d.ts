declare module "swagger2openapi" {
  /** Converts a Swagger 2 document to OpenAPI 3. */
  export function convertObj(document: unknown, options: { patch?: boolean; warnOnly?: boolean }): Promise<{ openapi: unknown }>;
}
