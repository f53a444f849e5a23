"""The report as journals take it: figures as files, a Word document, a PDF."""
