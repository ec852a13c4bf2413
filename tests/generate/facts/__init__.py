"""Reads and checks the YAML files of the catalog, and makes ``catalog/compiled.json`` of them: the
package reads that file alone, and trusts it. Errors name file, line and key."""
