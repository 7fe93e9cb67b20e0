"""Tables that come as Arrow record batches, from pyarrow, polars, DuckDB or files, in batches of equal size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple


class ArrowTable(NamedTuple):
    """A table whose rows are not there yet: the types of its columns, and what reads some of them."""

    schema: Any
    read: Callable[[Sequence[str], int], Iterable[Any]]  # columns, and about how many rows at once -> record batches

    @property
    def columns(self) -> list[str]:
        """Their names."""
        return self.schema.names

    def frames(self, columns: Sequence[str], batch_size: int) -> Iterator[Any]:
        """Batches of these columns, pandas DataFrames of `batch_size` rows, the last of at most as many.

        Raises
        ------
        ValueError
            While reading, if a value is not of the column's type.
        """
        import pyarrow as pa

        try:
            yield from frames(self.read(columns, batch_size), steady_schema(self.schema, columns), batch_size)
        except pa.ArrowException as error:
            raise ValueError(f"The table cannot be read with the types of its first rows: {error}") from error


def open_arrow(source: Any) -> ArrowTable | None:
    """A table of anything that gives record batches; None if it does not.

    Raises
    ------
    ImportError
        If pyarrow is not installed, or polars is too old to give a LazyFrame's batches.
    """
    if hasattr(source, "collect_schema"):
        return _lazy_frame(source)
    if hasattr(source, "get_fragments"):
        return _dataset(source)
    if hasattr(source, "__arrow_c_stream__"):
        return _stream(source)
    return None


def frames(batches: Iterable[Any], schema: Any, batch_size: int) -> Iterator[Any]:
    """Record batches, cut anew and cast to a schema, as pandas DataFrames."""
    import pyarrow as pa

    rest = schema.empty_table()
    for batch in batches:
        # Only numbers may be rounded: integers beyond 2^53, as those of identities and of nanoseconds.
        arrays = [batch.column(field.name).cast(field.type, safe=field.type != pa.float64()) for field in schema]
        rest = pa.concat_tables([rest, pa.Table.from_arrays(arrays, schema=schema)])
        while len(rest) >= batch_size:
            yield rest.slice(0, batch_size).to_pandas()
            rest = rest.slice(batch_size)
    if len(rest):
        yield rest.to_pandas()


def steady_schema(schema: Any, columns: Sequence[str]) -> Any:
    """The types that columns have in every batch, whatever the first ones hold.

    Numbers are float64, as any may be missing later, and categories are the values that they stand for.
    """
    import pyarrow as pa

    return pa.schema([(name, _steady(schema.field(name).type)) for name in columns])


def _steady(type_: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_dictionary(type_):
        return _steady(type_.value_type)
    numeric = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    return pa.float64() if any(kind(type_) for kind in numeric) else type_


def _stream(source: Any) -> ArrowTable:
    import pyarrow as pa

    reader = source if isinstance(source, pa.RecordBatchReader) else pa.RecordBatchReader.from_stream(source)
    return ArrowTable(reader.schema, lambda columns, size: (batch.select(columns) for batch in reader))


def _dataset(dataset: Any) -> ArrowTable:
    def read(columns: Sequence[str], size: int) -> Iterable[Any]:
        # By default pyarrow reads a dozen batches and files ahead.
        return dataset.to_batches(columns=list(columns), batch_size=size, batch_readahead=2, fragment_readahead=1)

    return ArrowTable(dataset.schema, read)


def _lazy_frame(frame: Any) -> ArrowTable:
    if not hasattr(frame, "collect_batches"):
        raise ImportError("This polars has no LazyFrame.collect_batches; update it, or give frame.collect().")

    def read(columns: Sequence[str], size: int) -> Iterable[Any]:
        for part in frame.select(columns).collect_batches(chunk_size=size, maintain_order=True):
            yield from part.to_arrow().to_batches()

    return ArrowTable(frame.limit(0).collect().to_arrow().schema, read)
