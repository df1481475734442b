# Items of fw_cfg, and their transfer by DMA.

# An item: the offset of its variables, its three keys and its name.
        .struct 0
ITEM_VARIABLES: .skip 2
ITEM_ADDR_KEY:  .skip 1
ITEM_SIZE_KEY:  .skip 1
ITEM_DATA_KEY:  .skip 1
ITEM_NAME:
        .text

# Sets the variables of the item at %cs:%si. The integers are little-endian, like ours.
locate: movzwl  %cs:ITEM_VARIABLES(%si), %edi
        movl    $4, %ecx
        movb    %cs:ITEM_ADDR_KEY(%si), %al
        call    read
        addw    $SIZE, %di
        movl    $4, %ecx
        movb    %cs:ITEM_SIZE_KEY(%si), %al
        jmp     read

# Copies the data of the item at %cs:%si to the address in its variables.
load:   movw    %cs:ITEM_VARIABLES(%si), %bx
        movl    (%bx), %edi
        movl    SIZE(%bx), %ecx
        movb    %cs:ITEM_DATA_KEY(%si), %al

# Reads %ecx bytes of key %al to physical address %edi, for the item at %cs:%si. Preserves %si, %edi
# and %es.
read:   movzbl  %al, %eax
        shll    $16, %eax
        movb    $DMA_READ_KEY, %al
        bswap   %eax
        bswap   %ecx
        bswap   %edi
        movl    %eax, descriptor
        movl    %ecx, descriptor + 4
        movl    $0, descriptor + 8
        movl    %edi, descriptor + 12
        bswap   %edi
        movl    $descriptor, %eax       # Segments are 0: offsets are physical addresses.
        bswap   %eax
        movw    $DMA_ADDRESS, %dx
        outl    %eax, %dx

        xorl    %ecx, %ecx              # Already done on QEMU and chukka; others get a time limit.
1:      movl    descriptor, %eax
        bswap   %eax
        testl   $~DMA_ERROR, %eax
        jz      2f
        rep
        nop
        addr32 loop 1b
2:      testl   %eax, %eax
        jnz     failed
        ret
